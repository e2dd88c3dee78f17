"""The completion script of bash, which parts words at colons where keys of conversations have them."""

from __future__ import annotations

SCRIPT = r"""_outlast_completion() {
    local IFS=$'\n' line="${COMP_LINE:0:COMP_POINT}" response completion type value before=""
    local word="${line##*[[:space:]]}"

    # COMP_WORDS is of no use: bash has parted it at colons. It puts what we answer after the last one.
    [[ "$word" == --*=* ]] && word="${word#*=}"
    [[ "$COMP_WORDBREAKS" == *:* && "$word" == *:* ]] && before="${word%"${word##*:}"}"
    response=$(env COMP_WORDS="$line" COMP_CWORD=-1 _OUTLAST_COMPLETE=bash_complete "$1")

    for completion in $response; do
        IFS=',' read -r type value <<< "$completion"
        if [[ $type == plain ]]; then
            COMPREPLY+=("${value#"$before"}")
        fi
    done
    return 0
}

complete -o nosort -F _outlast_completion outlast
"""


def last_word(line: str) -> int:
    """Return the place of the word of a line that is being typed: after a blank it is one that is not there yet."""
    from click.shell_completion import split_arg_string

    return len(split_arg_string(line)) - (not line[-1:].isspace())
