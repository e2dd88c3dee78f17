"""The commands of agents."""

from __future__ import annotations

from outlast.surfaces.cli.options import ASKED, CLI, COMMON, JSON
from outlast.surfaces.cli.spec import DURATION, PAIR, Argument, Option, Verb, choice, integer, some_of, text

HERE = CLI + "agents."
NEW = Argument("agent", text("AGENT"))
AGENT = Argument("agent", text("AGENT"), complete="agent")
TURN = Argument("task", text("TASK"), complete="turn")
LIVE = Argument("task", text("TASK"), complete="running-turn")
TOOLS = ("exec", "process", "tasks", "flow", "cron", "approvals", "agents", "subagents")
STATUSES = ("queued", "running", "succeeded", "failed", "timed_out", "cancelled", "lost")
POLICIES = ("done_only", "state_changes", "failures_only", "silent")
GIVEN = (
    Option("--timeout", DURATION, "How long the turn may take, default as the agent's configuration says."),
    Option("--cwd", text("DIR"), "Where the agent works, default its own directory."),
    Option("--env", PAIR, "A variable for it.", many=True),
    Option("--title", text(), "What to call the turn."),
    Option("--label", text(), "A label for its task."),
    Option("--notify", choice(*POLICIES), "Of what its requester is told."),
    Option("--dedupe", text("KEY"), "While a turn with this key is open, return it instead."),
)
LEGEND = (
    "Without a sign: the agent's answers. > said to it, * news it is told, ~ its thoughts, $ a tool it uses, "
    "# its plan, ? leave it asks for, ! a note, = the end of a turn."
)

AGENT_VERBS = (
    Verb("agents list", HERE + "listing:agents", "List the configured agents.", options=COMMON, bare=True),
    Verb(
        "agents add",
        HERE + "add:run",
        "Add an agent to the configuration; it is there for the next turn.",
        arguments=(NEW, Argument("command", text("COMMAND"), many=True, required=False)),
        options=(
            Option("--backend", choice("acp", "command", "model"), "How it is spoken to, default acp."),
            Option("--output", choice("text", "json", "claude-stream-json", "codex-jsonl"), "What a command prints."),
            Option("--resume", text("ITEM"), "What is added to go on with a session of its own.", many=True),
            Option("--model", text("MODEL"), "For backend model: openai:NAME or anthropic:NAME."),
            Option("--permissions", choice("ask", "allow", "deny"), "What becomes of what it asks leave for."),
            Option("--system", text(), "What it is told before the first message of a conversation."),
            Option("--tool", choice(*TOOLS), "For backend model: what of outlast it can use.", many=True),
            Option("--timeout", text("DURATION"), "How long a turn may take, default 1h; 0 is no limit."),
            Option("--cwd", text("DIR"), "Where it works, default a directory of its own."),
            Option("--env", PAIR, "A variable for it, kept in the file.", many=True),
            Option("--heartbeat", text("DURATION"), "How often it looks around by itself, default never."),
            JSON,
        ),
        details="The rest of the file stays as it is, to the byte. Commands come after --. What is not there yet, a "
        "program or a directory, is named and no hindrance.",
    ),
    Verb(
        "agents show",
        HERE + "listing:agent",
        "Show an agent with every key that holds for it, and where its table is.",
        arguments=(AGENT,),
        options=COMMON,
    ),
    Verb(
        "agents remove",
        HERE + "add:remove",
        "Take an agent out of the configuration. What it has said stays, and its turns under way go on.",
        arguments=(AGENT,),
        options=(JSON,),
        details="The rest of the file stays as it is, to the byte, comments around its table too.",
    ),
    Verb(
        "agents check",
        HERE + "listing:check",
        "Start an agent and have it say what it can do, or which login it wants.",
        arguments=(AGENT,),
        options=ASKED,
    ),
    Verb(
        "agent run",
        HERE + "run:run",
        "Give an agent a turn and show what it says; the answer is all there is on standard output.",
        arguments=(AGENT, Argument("message", text("MESSAGE"))),
        options=(
            Option("--conversation", text("KEY"), "Where it goes on, default agent:AGENT:main.", complete="talk"),
            Option("--wait", None, "Stay to the end (the default)."),
            Option("--detach", None, "Print the task's id and return."),
            *GIVEN,
            *ASKED,
        ),
        details=(
            "MESSAGE - is read from standard input. Exit code 0 when it succeeded, 1 when it failed or was called off, "
            "124 when its time was up. Ctrl-C leaves it at work, with exit code 130."
        ),
    ),
    Verb(
        "subagents spawn",
        HERE + "run:spawn",
        "Have an agent do something in a conversation of its own; who spawned it is told when it is done.",
        arguments=(AGENT, Argument("message", text("TASK"))),
        options=(
            Option("--wait", None, "Stay to the end, as `agent run` does."),
            *GIVEN,
            *ASKED,
        ),
        details=(
            "TASK - is read from standard input. --as names the conversation that spawns it, as in "
            "--as agent:main:main."
        ),
    ),
    Verb(
        "subagents list",
        HERE + "listing:subagents",
        "List spawned agents, the newest first.",
        options=(
            Option("--all", None, "Every turn of an agent, also those that `agent run` or a schedule asked for."),
            Option("--status", some_of("STATUS[,STATUS]", *STATUSES), f"Only these: {', '.join(STATUSES)}."),
            Option("--limit", integer(1, 1000), "At most this many, default 100."),
            Option("--cursor", text(), "The page after this one."),
            *ASKED,
        ),
        bare=True,
    ),
    Verb(
        "subagents show",
        HERE + "listing:show",
        "Show a turn: how it stands, what it used, its answer in full.",
        arguments=(TURN,),
        options=ASKED,
    ),
    Verb(
        "subagents log",
        HERE + "transcript:of_task",
        "Show what was said in the conversation of a turn.",
        arguments=(TURN,),
        options=(Option("--follow/-f", None, "Stay to the end of the turn, and show what comes."), *ASKED),
        details=LEGEND,
    ),
    Verb(
        "subagents steer",
        HERE + "run:steer",
        "Say something to an agent that runs.",
        arguments=(LIVE, Argument("text", text("TEXT"))),
        options=(Option("--interrupt", None, "It leaves what it is at; else it hears it next."), *ASKED),
    ),
    Verb(
        "subagents wait",
        HERE + "run:wait",
        "Wait for the end of turns, in one call.",
        arguments=(Argument("tasks", text("TASK"), many=True, complete="turn"),),
        options=(Option("--timeout", DURATION, "At most this long, exit code 124 then."), *ASKED),
        details=(
            "Exit code 0 when all succeeded, 1 when some did not, 124 when the time ran out. With --json: "
            "{met, turns}, each turn as `subagents show` has it."
        ),
    ),
    Verb(
        "subagents cancel",
        HERE + "run:cancel",
        "Call turns off, with all that they have spawned.",
        arguments=(Argument("tasks", text("TASK"), many=True, complete="live-turn"),),
        options=ASKED,
    ),
    Verb(
        "conversations transcript",
        HERE + "transcript:of_conversation",
        "Show what was said in a conversation with an agent.",
        arguments=(Argument("conversation", text("KEY"), complete="talk"),),
        options=(
            Option("--follow/-f", None, "Stay, and show what comes."),
            Option("--limit", integer(1, 1000), "The newest so many entries, default 100."),
            Option("--before", integer(1, 2**40), "Those before this entry."),
            *ASKED,
        ),
        details=f"{LEGEND} With --json: one entry a line.",
    ),
)
