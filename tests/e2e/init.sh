#!/usr/bin/env bash
# `plimsoll init` on a real terminal: questions are answered, Ctrl-C writes nothing, what exists stays.
#
#   tests/e2e/init.sh PROGRAM
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
program=$(realpath "${1:?usage: tests/e2e/init.sh PROGRAM}")
command -v python3 >/dev/null || install_packages python3
exec python3 - "$program" <<'P'
import os, pty, re, select, signal, sys, tempfile, time
program = sys.argv[1]
DOCKERFILE = "FROM registry.access.redhat.com/ubi9\nLABEL name=org/tool version=2.1 release=4\nUSER 1001\n"

class Session:
    """The program on a terminal of its own."""
    def __init__(self, folder, *args, **variables):
        self.seen = self.raw = ""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            environment = {"PATH": os.environ["PATH"], "HOME": folder, "TERM": "xterm", **variables}
            os.execve(program, ["plimsoll", "init", *args], environment)
    def read(self, seconds):
        ready, _, _ = select.select([self.terminal], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self.terminal, 65536)
        except OSError:
            return None
        self.raw += data.decode(errors="replace")
        self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace"))
        return bool(data) or None
    def expect(self, words):
        """Waits until a question stands there."""
        end = time.monotonic() + 20
        while words not in self.seen:
            if time.monotonic() > end or self.read(0.5) is None:
                raise SystemExit(f"FAIL  never asked {words!r}:\n{self.seen}")
        self.seen = self.seen.split(words, 1)[1]
    def answer(self, text):
        os.write(self.terminal, text.encode())
    def end(self):
        end = time.monotonic() + 20
        while time.monotonic() < end and self.read(0.2) is not None:
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(status)

def repository(**files):
    folder = tempfile.mkdtemp()
    for name, text in {"Dockerfile": DOCKERFILE, **files}.items():
        open(os.path.join(folder, name), "w").write(text)
    return folder
def read(folder, name):
    return open(os.path.join(folder, name)).read()
def ok(words):
    print("ok   ", words)
def must(condition, words, session=None):
    if not condition:
        raise SystemExit(f"FAIL  {words}\n{session.seen if session else ''}")
    ok(words)

# Answers are taken; an empty one is what was offered.
folder = repository()
session = Session(folder)
session.expect("image of Dockerfile")
session.answer("\x7f" * 60 + "registry.example.com/team/mine\r")
session.expect("tag")
session.answer("\r")
session.expect("write a job for")
session.answer("y")
code = session.end()
must(code == 0, "questions are answered", session)
yaml = read(folder, "plimsoll.yaml")
must("repository: team/mine" in yaml and "registry: registry.example.com" in yaml, "the image is the one that was typed")
must("tag: 2.1-4" in yaml, "the tag is the one that was offered")
must(os.path.isdir(os.path.join(folder, ".github/workflows")), "the job was wanted")

# A job that nobody wants is not written.
folder = repository()
session = Session(folder)
session.expect("image of Dockerfile"); session.answer("\r")
session.expect("tag"); session.answer("\r")
session.expect("write a job for"); session.answer("n")
must(session.end() == 0 and not os.path.exists(os.path.join(folder, ".github")), "no job when the answer is no", session)

# A bad answer is told why, and asked for again.
folder = repository()
session = Session(folder)
session.expect("image of Dockerfile"); session.answer("\x7f" * 60 + "quay.io/Org/App\r")
session.expect("quay.io/Org/App"); session.expect("image of Dockerfile"); session.answer("\r")
session.expect("tag"); session.answer("\x7f" * 40 + ".bad\r")
session.expect("may not start a tag"); session.answer("\x7f" * 40 + "3.0-1\r")
session.expect("write a job for"); session.answer("y")
must(session.end() == 0 and "tag: 3.0-1" in read(folder, "plimsoll.yaml"), "a bad answer is asked for again", session)

# Ctrl-C, at each question: nothing is written, the terminal is as it was.
for stop in range(3):
    folder = repository()
    session = Session(folder)
    for number, words in enumerate(["image of Dockerfile", "tag", "write a job for"]):
        session.expect(words)
        if number == stop:
            session.answer("\x03")
            break
        session.answer("\r")
    code = session.end()
    must(code == 130, f"Ctrl-C at question {stop + 1} interrupts (code {code})", session)
    must(session.raw.rfind("\x1b[?25l") <= session.raw.rfind("\x1b[?25h"), "and the cursor is there again")
    must(os.listdir(folder) == ["Dockerfile"], f"Ctrl-C at question {stop + 1} leaves nothing behind")

# A signal that comes from elsewhere ends the questions as well; which one it was is told every time,
# though a question that is interrupted sends itself SIGINT.
for number, expected in [(signal.SIGINT, 130)] + 12 * [(signal.SIGTERM, 143)]:
    folder = repository()
    session = Session(folder)
    session.expect("image of Dockerfile")
    os.kill(session.pid, number)
    code = session.end()
    must(code == expected and os.listdir(folder) == ["Dockerfile"], f"{number.name} ends the questions (code {code})", session)

# What exists stays, whatever is answered.
folder = repository(**{"plimsoll.yaml": "stages: [check]\n"})
session = Session(folder)
session.expect("image of Dockerfile"); session.answer("\x7f" * 60 + "quay.io/other/one\r")
session.expect("tag"); session.answer("\r")
session.expect("write a job for"); session.answer("y")
must(session.end() == 0 and read(folder, "plimsoll.yaml") == "stages: [check]\n", "what exists stays", session)
must("kept, it exists" in session.seen, "and it is said", session)

# In a CI nobody is asked, even if there is a terminal.
folder = repository()
session = Session(folder, CI="true")
must(session.end() == 0 and os.path.exists(os.path.join(folder, "plimsoll.yaml")), "a CI is not asked", session)
P
