"""Flow files: YAML or JSON that says which steps there are, what each needs, and what passes from one to another.

`reading` makes a checked `definition` of a file, or says everything that is wrong with it, and runs nothing;
`arguments` reads those of one run; `interpret` runs a definition over a flow's context. A file is data from a stranger:
it is bounded in every direction, and no value ever becomes part of a line for the shell.
"""
