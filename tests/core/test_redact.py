"""Redaction: every rule hides its secret and leaves the rest of the line as it was."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.redact import MASK, redact

S = "hunter2Hunter2"
LONG = "abcdefghij0123456789ABCDEFGHIJ0123456789"

HIDDEN = [
    # assignments
    (f"TOKEN={S} make", "TOKEN=*** make"),
    (f"export GITHUB_TOKEN={S}; make", "export GITHUB_TOKEN=***; make"),
    (f"API_KEY='{S} two' make", "API_KEY=*** make"),
    (f'DB_PASSWORD="{S} two" make', "DB_PASSWORD=*** make"),
    (f"A=1 AWS_SECRET_ACCESS_KEY={S}'x y'\"z\" B=2 make", "A=1 AWS_SECRET_ACCESS_KEY=*** B=2 make"),
    (f"PGPASSWORD={S} psql -h db", "PGPASSWORD=*** psql -h db"),
    (f"MYSQL_PWD={S} x", "MYSQL_PWD=*** x"),
    (f"SSHPASS={S} x", "SSHPASS=*** x"),
    (f"PRIVATE_KEY={S} x", "PRIVATE_KEY=*** x"),
    (f"GOOGLE_CREDENTIALS={S} x", "GOOGLE_CREDENTIALS=*** x"),
    (f"apiKey={S} x", "apiKey=*** x"),
    (f"docker run -e 'DB_PASSWORD={S} two' -p 80:80 x", "docker run -e 'DB_PASSWORD=***' -p 80:80 x"),
    (f"bash -c 'API_KEY={S} npm run build'", "bash -c 'API_KEY=*** npm run build'"),
    (f'bash -lc "API_KEY={S} npm run build" && x', 'bash -lc "API_KEY=*** npm run build" && x'),
    (f"echo ${{TOKEN:-{S}}} x", "echo ${TOKEN:***} x"),
    (f'[ "$TOKEN" = "{S}" ]', '[ "$TOKEN" = *** ]'),
    (f"java -Dpassword={S} -jar x", "java -Dpassword=*** -jar x"),
    (f"curl 'https://h/x?access_token={S}&b=1'", "curl 'https://h/x?access_token=***&b=1'"),
    (f"curl https://h/x?a=1\\&token={S}\\&b=1", None),
    (f"TOKEN=$PREFIX-{S} make", "TOKEN=*** make"),
    (f"TOKEN='$({S}' make", "TOKEN=*** make"),
    (f"TOKEN='{S} ghp_{LONG} {S}' x", "TOKEN=*** x"),
    (f"echo ${{TOKEN:-{S},{S} two}} x", "echo ${TOKEN:***} x"),
    (f"env 'DB_PASSWORD={S}'\"'\"'{S} x' make", "env 'DB_PASSWORD=***' make"),
    # flags
    (f"x --token {S},{S} y", "x --token *** y"),
    (f'run "--token {S} y" z', 'run "--token *** y" z'),
    (f"x --token {S} y", "x --token *** y"),
    (f"x --token={S} y", "x --token=*** y"),
    (f"x --db-password '{S} two' y", "x --db-password *** y"),
    (f"x --api-key \\\n {S} y", "x --api-key \\\n *** y"),
    (f"bash -c 'x --token {S} y'", "bash -c 'x --token *** y'"),
    (f"x -password {S}", "x -password ***"),
    # headers and data
    (f"curl -H 'Authorization: Bearer {S}' u", "curl -H 'Authorization: Bearer ***' u"),
    (f'curl -H "authorization: {S}" u', 'curl -H "authorization: ***" u'),
    (f"curl -H 'Cookie: a={S}; b={S}' u", "curl -H 'Cookie: ***' u"),
    (f"curl -H X-Api-Key:{S} u", "curl -H X-Api-Key:*** u"),
    (f"echo Authorization: Basic {S} x", "echo Authorization: Basic *** x"),
    (f"echo bearer {S} x", "echo bearer *** x"),
    (
        f"""bash -c "curl -H 'Authorization: Bearer {S}' -H 'A: b' u" """,
        """bash -c "curl -H 'Authorization: Bearer ***' -H 'A: b' u" """,
    ),
    (
        f"""curl -d '{{"user":"me","password":"{S}","x":1}}' u""",
        """curl -d '{"user":"me","password":***,"x":1}' u""",
    ),
    (
        f"""curl -d "{{\\"token\\": \\"{S}\\", \\"x\\": 1}}" u""",
        """curl -d "{\\"token\\": ***, \\"x\\": 1}" u""",
    ),
    (f"password: {S}", "password: ***"),
    # addresses
    (f"git clone https://me:{S}@host/x", "git clone https://me:***@host/x"),
    (f"psql 'postgres://me:{S}@:x@host:5432/db'", "psql 'postgres://me:***@host:5432/db'"),
    (f"redis-cli -u redis://:{S}@host", "redis-cli -u redis://:***@host"),
    (f"git clone https://{LONG}@host/x", "git clone https://***@host/x"),
    (f"git clone https://me:TOKEN={S}@b@host/x", "git clone https://me:***"),
    # programs with short options
    (f"mysql -u root -p{S} db", "mysql -u root -p*** db"),
    (f"mysqldump -p'{S} x' db", "mysqldump -p*** db"),
    (f"7z a -p{S} x.7z y", "7z a -p*** x.7z y"),
    (f"sshpass -p {S} ssh h", "sshpass -p *** ssh h"),
    (f"sshpass -p{S} ssh -p 22 h", "sshpass -p*** ssh -p *** h"),
    (f"docker login -u me -p {S} host", "docker login -u me -p *** host"),
    (f"docker login -p{S}", "docker login -p***"),
    (f"sudo /usr/bin/docker login -p '{S}'", "sudo /usr/bin/docker login -p ***"),
    (f"curl -s -u me:{S} u", "curl -s -u me:*** u"),
    (f"curl -u 'me:{S} x' u", "curl -u 'me:***' u"),
    (f"curl --user=me:{S} u", "curl --user=me:*** u"),
    (f"curl -ume:{S} u", "curl -ume:*** u"),
    (f"curl -o x 2>/dev/null \\\n -u me:{S} u", "curl -o x 2>/dev/null \\\n -u me:*** u"),
    (f"redis-cli -a {S} ping", "redis-cli -a *** ping"),
    (f"ldapsearch -D x -w {S} y", "ldapsearch -D x -w *** y"),
    (f"zip -P {S} x.zip y", "zip -P *** x.zip y"),
    (f"smbclient -U 'me%{S}' x", "smbclient -U 'me%***' x"),
    (f"docker exec db mysql -p{S} x", "docker exec db mysql -p*** x"),
    (f'ssh h "mysql -p{S}" && echo "x"', 'ssh h "mysql -p***" && echo "x"'),
    (f"curl a; curl -u me:{S} b", "curl a; curl -u me:*** b"),
    # shapes
    (f"echo ghp_{LONG}", "echo ghp_***"),
    (f"echo github_pat_{LONG}", "echo github_pat_***"),
    (f"echo sk-proj-{LONG} x", "echo sk-*** x"),
    (f"echo xoxb-1234-{LONG}", "echo xoxb-***"),
    ("echo AKIAABCDEFGHIJKLMNOP", "echo AKIA***"),
    (f"echo glpat-{LONG}", "echo glpat-***"),
    (f"echo eyJ{LONG}.eyJ{LONG}.{LONG} x", "echo eyJ*** x"),
    (f"echo 'A\n-----BEGIN RSA PRIVATE KEY-----\n{S}\n-----END RSA PRIVATE KEY-----'", None),
    (f"echo -----BEGIN PRIVATE KEY-----{S}", None),
]

SHOWN = [
    "",
    "make -j2 all",
    "ssh -p 22 host",
    "docker run -p 8080:80 -v x:/y image",
    "mkdir -p a/b",
    "mysql -p db",
    "TOKEN= make",
    "TOKEN=$OTHER make",
    'TOKEN="${OTHER}" make',
    "TOKEN=$(cat file) make",
    'TOKEN="$(pass show x)" make',
    'curl -u "me:$PASSWORD" u',
    'curl -H "Authorization: Bearer $TOKEN" u',
    "curl -u me:$(pass show x) u",
    "curl --user-agent=a:b u",
    "git clone https://$USER:$TOKEN@host/x",
    "echo $TOKEN ${TOKEN}",
    "x --password-file /run/x --token-file y",
    "docker login --password-stdin",
    "x --no-password y",
    "x --token --verbose",
    "x --token",
    "git clone https://me:@host/x",
    "docker run -p8080:80 image",
    "curl -u me u",
    "MAX_TOKENS=100 TOKENIZERS_PARALLELISM=false x --max-tokens 100",
    "GIT_AUTHOR_NAME=me git commit",
    "cd $PWD; OLDPWD=/x PWD=/y z",
    "COMPASS=1 BYPASS=1 x",
    "pip install scikit-learn task-runner-with-a-long-name-1",
    "git log --author=me --pretty=x",
    "kubectl get secret -n x",
    "docker run -v secret:/run/x y",
    "curl https://host:8080/path@v1 http://user@host",
    "echo sk-learn-something-very-long-here",
    "grep -r 'a.b' | sort -k 2 > x 2>&1",
]


@pytest.mark.parametrize(("text", "expected"), HIDDEN)
def test_a_secret_is_hidden_and_the_shape_kept(text: str, expected: str | None) -> None:
    shown = redact(text)
    assert S not in shown
    assert LONG not in shown
    assert MASK in shown
    if expected is not None:
        assert shown == expected


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_no_secret_is_left_as_it_is(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(("text", "expected"), HIDDEN)
def test_to_redact_twice_changes_nothing(text: str, expected: str | None) -> None:
    assert redact(redact(text)) == redact(text)


@given(
    st.text(min_size=8, alphabet=st.characters(exclude_categories=["Cs"])).filter(lambda s: not s.startswith("-")),
    st.sampled_from(["TOKEN={}", "--password={}", "--password {}", "docker login -p {}", "sshpass -p {}"]),
)
def test_any_secret_is_hidden_when_quoted_as_a_shell_wants_it(secret: str, shape: str) -> None:
    marked = f"Qx{secret}xQ"
    for line in (shape.format(shlex.quote(marked)), f"make {shape.format(shlex.quote(marked))} x"):
        shown = redact(line)
        assert "Qx" not in shown
        assert "xQ" not in shown


@given(st.text(min_size=8, alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_secret_is_hidden_in_a_quoted_argument(secret: str) -> None:
    shown = redact(shlex.join(["env", f"DB_PASSWORD=Qx{secret}xQ", "make"]))
    assert "Qx" not in shown
    assert "xQ" not in shown
    assert shown.endswith(" make")


@given(st.text(alphabet="ab'\"\\$`(){}=:@/-_ \ntokenpasswdcurl"))
def test_any_text_is_read(text: str) -> None:
    kept = redact(text).split(MASK)
    at = 0
    for piece in kept:
        at = text.index(piece, at) + len(piece)


@pytest.mark.parametrize(
    "piece",
    [
        "a", "-", "TOKEN=", "TOKEN='", 'TOKEN="', 'TOKEN="\\"', "--token ", "'TOKEN=", '"token": ', "${TOKEN:", "$",
        "://", "://a:", "://a@", "curl ", "curl -u ", "curl '", 'curl "', "docker login ", "mysql -p", "bearer ",
        "Authorization: ", "eyJaaaaaaaaa", "eyJaaaaaaaaa.", "-eyJ", "sk-", "-sk-a", "ghp_", "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----", "'", '"', "\\", '\\"', "`", "token ", 'token: \\"', "\"'", ".token", "_key",
        "max_new_", "${TOKEN: ", "'TOKEN=$A ", "\"TOKEN=", "'--token $A ",
    ],
)  # fmt: skip
def test_hostile_text_takes_linear_time(piece: str) -> None:
    """A quadratic rule would need minutes for these."""
    redact(piece * (200_000 // len(piece)))
    redact("x'" + piece * (200_000 // len(piece)) + '"')
