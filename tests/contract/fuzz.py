#!/usr/bin/env python3
"""Made-up cases of the engine contract (see tests/contract.sh fuzz).

make N SEED DIR      writes N cases below DIR; the same seed gives the same cases
shrink DIR OUT       writes, below OUT, the cases of DIR/different with one part less each; `different`
                     of OUT then says which of them still differ
adopt DIR OUT        replaces each case of DIR/different by its smallest variant of OUT that differs;
                     exit status 1 when none is smaller
"""

import os
import random
import re
import sys

NAMES = ["a", "b", "c", "d", "e", "x.txt", "y.txt", "z.go", "w.md", ".h", "s p", "d1", "d2"]
MODES = ["", "600", "755", "4755", "444", "000", "666", "2755"]
DIRECTORY_MODES = ["", "700", "711", "1777", "2755", "775"]
BASE = ["/data", "/data/old", "/data/other", "/data/sub", "/data/sub/deep", "/link", "/abs", "/out",
        "/dangling", "/plain", "/sticky", "/setgid", "/suid", "/hard1", "/hard2", "/pipe", "/srv/web",
        "/tmp", "/etc", "/new", "/new/er", "/data/new"]
OWNERS = ["web", "web:www", "lone", "1:2", "33", "7:staff", "0", "root:audio", "lone:50"]
CHMODS = ["700", "0644", "4711", "1777", "u+x", "go-rwx", "a+X", "u=rwX,go=rX", "+x", "g=u", "o-r,u+s"]


class Made:
    """One case being made."""

    def __init__(self, random_):
        self.r = random_
        self.files, self.dirs, self.archives = [], [""], []
        self.parts = []

    def chance(self, share):
        return self.r.random() < share

    def pick(self, values):
        return self.r.choice(values)

    def name(self):
        return self.pick(NAMES)

    # --- context -----------------------------------------------------------------------------------

    def place(self):
        for _ in range(20):
            parent = self.pick(self.dirs)
            path = (parent + "/" if parent else "") + self.name()
            if path not in self.files and path not in self.dirs and path not in self.archives:
                return path
        return None

    def context(self):
        for _ in range(self.r.randint(0, 5)):
            path = self.place()
            if path:
                self.dirs.append(path)
                self.parts.append(("dir", [path, self.pick(DIRECTORY_MODES)], ""))
        for index in range(self.r.randint(1, 8)):
            path = self.place()
            if not path:
                continue
            kind = self.r.random()
            if kind < 0.7 or not self.files:
                self.parts.append(("file", [path, self.pick(MODES)], f"content {index}\n"))
                self.files.append(path)
            elif kind < 0.87:
                self.parts.append(("link", [path, self.target(path)], ""))
                self.files.append(path)
            elif kind < 0.93:
                whole = [p for k, w, _ in self.parts for p in w[:1] if k == "file"]
                if whole:
                    self.parts.append(("hard", [path, self.pick(whole)], ""))
                    self.files.append(path)
            elif kind < 0.96:
                self.parts.append(("fifo", [path], ""))
                self.files.append(path)
            else:
                self.parts.append(("tar", [path, self.pick(["", "gzip", "zstd", "xz", "bzip2"])], self.members()))
                self.archives.append(path)
        if self.chance(0.3):
            lines = [self.ignored() for _ in range(self.r.randint(1, 5))]
            self.parts.append(("file", [".dockerignore"], "".join(line + "\n" for line in lines)))

    def target(self, path):
        up = "../" * path.count("/")
        there = self.pick(self.files + self.dirs[1:] + ["nowhere", self.name()])
        return self.pick([up + there, up + there, "/" + there, "../" + up + there, self.name(), "."])

    def members(self):
        lines, seen = [], []
        for index in range(self.r.randint(1, 5)):
            path = self.name().replace(" ", "")
            if seen and self.chance(0.5):
                path = self.pick(seen) + "/" + path
            owner = f"{self.r.randint(0, 9)}:{self.r.randint(0, 9)}"
            kind = self.r.random()
            if kind < 0.3:
                lines.append(f"dir {path} 0{self.pick(['755', '700', '1777'])} {owner}")
                seen.append(path)
            elif kind < 0.8:
                lines.append(f'file {path} 0{self.pick(["644", "600", "4755"])} {owner} "member {index}"')
            elif kind < 0.9:
                lines.append(f"symlink {path} {self.pick(['a', '../b', '/data', 'd'])}")
            else:
                lines.append(f"fifo {path} 0600")
        return "".join(line + "\n" for line in lines)

    def ignored(self):
        path = self.pick(self.files + self.dirs[1:] + ["a"])
        forms = [path, path, "*", "**", "*.txt", "**/*.txt", path.split("/")[0], path + "/", "/" + path,
                 "**/" + path.split("/")[-1], path + "/*", path + "/**", "*/" + path.split("/")[-1], "[a-c]", "?",
                 "# " + path, "d*"]
        return ("!" if self.chance(0.3) else "") + self.pick(forms)

    # --- words -------------------------------------------------------------------------------------

    def value(self):
        variable = self.pick(["A", "B", "C", "NO"])
        forms = ["plain", "", "$" + variable, "${" + variable + "}", f'"two $' + variable + '"', "'$" + variable + "'",
                 "\\$" + variable, "${" + variable + ":-def}", "${" + variable + ":+alt}", "${" + variable + "-}",
                 "${" + variable + "#f*o}", "${" + variable + "##*o}", "${" + variable + "%.*}",
                 "${" + variable + "%%o*}", "${" + variable + "/o/0}", "${" + variable + "//o/$B}", "a\\ b", '"a\\"b"',
                 '"a\\nb"', "x=y", "é", "${" + variable + ":-${B:-'q'}}", "a\\\\b", "$$", "a$", "$1x", '"${C}"\'s\'',
                 "#x", '""', "${" + variable + "/[a-f]/x}", "${" + variable + "/\\//x}"]
        return self.pick(forms)

    def pairs(self, names):
        return " ".join(f"{self.pick(names)}={self.value()}" for _ in range(self.r.randint(1, 3)))

    # --- paths -------------------------------------------------------------------------------------

    def source(self):
        everything = self.files + self.archives + self.dirs[1:]
        path = self.pick(everything or ["Dockerfile"])
        form = self.r.random()
        if form < 0.5:
            return path
        if form < 0.65:
            return self.glob(path)
        if form < 0.75:
            return self.pick([".", "./", "/", "*", "*/*", "**"])
        if form < 0.99:
            folder = self.pick(self.dirs)
            inside = folder + "/" if folder else ""
            return self.pick(["./" + path, "/" + path, inside + ".", inside, inside + "*", inside + "../" + path, folder,
                              inside + "*.none", inside + "*/no*"])
        return self.name()

    def glob(self, path):
        if "/" in path and self.chance(0.15):
            # A class may match a slash.
            return path.replace("/", self.pick(["[^a]", "[/]", "[.-0]"]), 1)
        letters = list(path)
        at = self.pick([at for at, letter in enumerate(letters) if letter != "/"])
        letters[at] = self.pick(["*", "?", "[a-e]", "[^a]", "*"])
        return "".join(letters)

    def destination(self, many):
        forms = ["/", ".", "./", "/x", "/x/", "/x/y", "/x/y/", "rel", "rel/", "/x/.", "..", "/a b/", "$A/"]
        path = self.pick(BASE + forms)
        if many and not path.endswith("/") and self.chance(0.9):
            path += "/"
        return path

    def words(self, words):
        if any(" " in word for word in words) or self.chance(0.1):
            return "[" + ", ".join('"' + word.replace("\\", "\\\\") + '"' for word in words) + "]"
        return " ".join(words)

    def copy(self, stages):
        keyword = self.pick(["COPY", "COPY", "ADD"])
        flags = []
        stage = keyword == "COPY" and self.chance(0.35)
        if stage:
            flags.append("--from=" + self.pick(stages + ["@base@"]))
        if self.chance(0.2):
            flags.append("--chown=" + self.pick(OWNERS))
        if self.chance(0.2):
            flags.append("--chmod=" + self.pick(CHMODS))
        if self.chance(0.2):
            flags.append("--link")
        if keyword == "COPY" and self.chance(0.2):
            flags.append("--parents")
        for _ in range(2):
            if self.chance(0.15):
                path = self.pick(self.files + self.dirs[1:] + ["a", "sub", "old"]).replace(" ", "?")
                flags.append("--exclude=" + self.pick([path, "*.txt", "**/*.txt", "*", path.split("/")[-1],
                                                       "**/" + path.split("/")[-1], "*/a", path + "/*"]))
        self.r.shuffle(flags)
        count = self.pick([1, 1, 1, 2, 3])
        if stage:
            there = ["/data", "/data/old", "/data/sub", "/link", "/abs", "/srv/web", "/etc", "/plain", "/hard*"]
            paths = [self.pick(there + ["/*/sub", "/data/*", "/l*", "/nosuch*"]) for _ in range(count)]
            if self.chance(0.1):
                paths.append(self.pick(BASE + ["/", "/x", "/rel"]))
            if "--parents" in flags:
                paths = [self.pivot(path) for path in paths]
        elif self.chance(0.1):
            text = self.pick(["<<EOF", "<<'EOF'", "<<-EOF"])
            body = "".join(self.pick(["$A ${B}\n", "\ttab\n", "text\n", "\"q\" 'r'\n", "\\$A \\\\\n"]) for _ in range(2))
            return f"{keyword} {' '.join(flags + [text])} {self.destination(False)}\n{body}EOF"
        else:
            paths = [self.source() for _ in range(count)]
            if "--parents" in flags:
                paths = [self.pivot(path) for path in paths]
        several = count > 1 or any(c in path for path in paths for c in "*?[")
        return f"{keyword} {' '.join(flags + [self.words(paths + [self.destination(several)])])}"

    def pivot(self, path):
        if "/" in path.strip("/") and self.chance(0.5):
            at = self.pick([i for i, c in enumerate(path) if c == "/" and i > 0] or [0])
            return path[:at] + "/./" + path[at + 1:]
        return path

    # --- steps -------------------------------------------------------------------------------------

    def shell(self):
        one, two = self.pick(BASE), self.pick(BASE + ["/x", "/x/y", "/new2", "rel"])
        # A pipe would wait for its other end.
        file = f"[ -p {one} ] || [ -p {two} ] ||"
        return self.pick([
            f"rm -rf {one}", f"mkdir -p {two}", f"{file} echo {self.r.randint(0, 99)} > {two}", f"mv {one} {two}",
            f"ln -s {one} {two}", f"ln {one} {two}", f"chmod {self.pick(['700', '4755', '0', 'g+w', '1777'])} {one}",
            f"chown {self.pick(['1:2', '33', 'web:staff'])} {one}", f"touch -d @1500000000 {one}", f"touch {two}",
            f"{file} cp -a {one} {two}", f"rmdir {one}", f"mkfifo {two}", f"ln -s ../{self.name().replace(' ', '')} {two}",
            f"rm -rf {one} && mkdir {one} && echo 1 > {one}/f", f"{file} echo more >> {one}", f"{file} cat {one} > {two}",
            f"rm -rf {one}; echo file > {one}", f"rm -rf {one}; ln -s {two} {one}", "true"])

    def run(self, stages):
        flags = []
        if self.chance(0.15):
            kind = self.r.random()
            target = self.pick(["/m", "/m/n", "/data/mnt", "/data", "mrel", "/link/q"])
            if kind < 0.3:
                flags.append(f"--mount=type=tmpfs,target={target}")
            elif kind < 0.6:
                source = self.pick(["/", "/data", "/data/sub"])
                flags.append(f"--mount=from={self.pick(stages + ['@base@'])},source={source},target={target}" + self.pick(["", ",rw"]))
            elif kind < 0.8:
                flags.append(f"--mount=type=cache,id={self.r.randint(0, 1 << 30)},target={target}")
            else:
                flags.append(f"--mount=target={target}" + self.pick(["", ",rw", ",readonly=false"]))
        body = "; ".join(f"{{ {self.shell()}; }} 2> /dev/null" for _ in range(self.r.randint(1, 4)))
        return " ".join(["RUN"] + flags + [body + "; true"])

    def setting(self):
        return self.pick([
            lambda: "ENV " + self.pairs(["A", "B", "C", "PATH2"]),
            lambda: f"ENV {self.pick('ABC')} {self.value()} {self.value()}",
            lambda: "ARG " + " ".join(self.pick(["A", "B", "NO", "C=foo.tar.gz", "D=$A", "TARGETARCH", "G"]) for _ in range(self.r.randint(1, 2))),
            lambda: "LABEL " + self.pairs(["l", "m.n", '"o p"', "$A.x"]),
            lambda: "WORKDIR " + self.pick(["/x", "rel", "..", "/data", "/link/w", "/abs", "/new/dir/", ".", "$B", "/srv/web/q", '"a b"']),
            lambda: "USER " + self.pick(["web", "root", "lone:staff", "5", "5:6", "33", "0", "web:50", "$NO"]),
            lambda: "EXPOSE " + self.pick(["80", "80/udp 81", "10-12", "$A", "90:91", "1-2/sctp"]),
            lambda: "VOLUME " + self.pick(["/v", "/v /w", '["/v", "x$A"]', "/y$B", "/data"]),
            lambda: "CMD " + self.pick(["a b", '["a", "b"]', "echo $A", "[]", '["a" "b"]', "echo \"q\" 'r'"]),
            lambda: "ENTRYPOINT " + self.pick(["a b", '["a", "b"]', "echo $A", "[]", "exec <&>"]),
            lambda: "SHELL " + self.pick(['["/bin/sh", "-c"]', '["/bin/sh", "-e", "-c"]']),
            lambda: "STOPSIGNAL " + self.pick(["SIGINT", "9", "RTMIN+1", "sigterm"]),
            lambda: "HEALTHCHECK " + self.pick(["NONE", "CMD x y", 'CMD ["x"]', "--interval=3s --retries=2 CMD z"]),
            lambda: "MAINTAINER " + self.pick(["me <me@x>", "$A"]),
            lambda: "ONBUILD " + self.pick(["RUN echo built > /built", "ENV A=built", "COPY . /built/", "LABEL l=$A", "WORKDIR built", "USER web", "ARG A=on"]),
        ])()

    def dockerfile(self):
        lines = []
        if self.chance(0.3):
            lines.append(self.pick(["ARG G=global", "ARG A", "ARG A=ratch B", 'ARG G="$BUILDPLATFORM"']))
        count = self.pick([1, 1, 2, 2, 3])
        stages, shells = [], []
        for index in range(count):
            base = self.pick(["@base@", "@base@", "@base@", "scratch", "@config@"] + stages)
            has_shell = shells[int(base[1:])] if base in stages else base != "scratch"
            lines.append(f"FROM {base} AS s{index}")
            for _ in range(self.r.randint(1, 6)):
                kind = self.r.random()
                if kind < 0.45:
                    lines.append(self.copy(stages or ["@base@"]))
                elif kind < 0.65 and has_shell:
                    lines.append(self.run(stages or ["@base@"]))
                else:
                    lines.append(self.setting())
            stages.append(f"s{index}")
            shells.append(has_shell)
        return "\n".join(lines) + "\n"

    def text(self, name):
        self.context()
        for argument in ["A=given", "B=/from/arg", "C=foo.tar.gz"]:
            if self.chance(0.25):
                self.parts.append(("arg", [argument], ""))
        if self.chance(0.1):
            self.parts.append(("epoch", ["1500000000"], ""))
        if self.chance(0.1):
            self.parts.append(("label", ["l=option"], ""))
        self.parts.append(("dockerfile", [], self.dockerfile()))
        lines = [f"%case {name}\n"]
        for kind, words, text in self.parts:
            if kind in ("file", "dir", "link", "hard", "fifo", "tar"):
                words = [word.replace(" ", "\\x20") for word in words]
            lines.append(" ".join(["%" + kind] + words).rstrip() + "\n" + text)
        return "".join(lines)


def make(count, seed, directory):
    os.makedirs(directory + "/cases", exist_ok=True)
    os.makedirs(directory + "/expected", exist_ok=True)
    with open(directory + "/cases/fuzz.txt", "w", encoding="utf-8") as out:
        for index in range(count):
            out.write(Made(random.Random(f"{seed}:{index}")).text(f"fuzz-{seed}-{index}") + "\n")


# --- smaller cases -------------------------------------------------------------------------------


def read(directory):
    with open(directory + "/cases/fuzz.txt", encoding="utf-8") as file:
        texts = re.split(r"(?m)^(?=%case )", file.read())
    return {text.split("\n", 1)[0].split(" ")[1]: text for text in texts if text}


def different(directory):
    try:
        with open(directory + "/different", encoding="utf-8") as file:
            return file.read().split()
    except FileNotFoundError:
        return []


def smaller(text):
    """The case with one directive, one instruction or one flag less."""
    head, *parts = re.split(r"(?m)^(?=%)", text)[1:]
    found = []
    for index, part in enumerate(parts):
        rest = parts[:index] + parts[index + 1:]
        if not part.startswith("%dockerfile"):
            found.append("".join(rest))
            if part.startswith("%file .dockerignore"):
                lines = part.splitlines(True)
                for line in range(1, len(lines)):
                    fewer = "".join(lines[:line] + lines[line + 1:])
                    found.append("".join(parts[:index] + [fewer] + parts[index + 1:]))
            continue
        lines = part.splitlines(True)
        for line in range(1, len(lines)):
            fewer = [lines[:line] + lines[line + 1:]]
            for flag in re.findall(r" --[a-z]+(?:=\S+)?", lines[line]):
                fewer.append(lines[:line] + [lines[line].replace(flag, "", 1)] + lines[line + 1:])
            for step in re.findall(r"\{ [^{}]*; \} 2> /dev/null; ", lines[line]):
                fewer.append(lines[:line] + [lines[line].replace(step, "", 1)] + lines[line + 1:])
            words = lines[line].split(" ")
            if words[0] in ("COPY", "ADD", "ENV", "LABEL") and "[" not in lines[line] and len(words) > 3:
                for at in range(1, len(words) - 1):
                    fewer.append(lines[:line] + [" ".join(words[:at] + words[at + 1:])] + lines[line + 1:])
            found += ["".join(parts[:index] + ["".join(some)] + parts[index + 1:]) for some in fewer]
    return [head.rstrip("\n") + "\n" + body for body in dict.fromkeys(found)]


def shrink(directory, out):
    os.makedirs(out + "/cases", exist_ok=True)
    os.makedirs(out + "/expected", exist_ok=True)
    cases = read(directory)
    with open(out + "/cases/fuzz.txt", "w", encoding="utf-8") as file:
        for name in different(directory):
            for index, text in enumerate(smaller(cases[name])):
                file.write(text.replace(f"%case {name}\n", f"%case {name}.{index}\n", 1).rstrip("\n") + "\n\n")


def adopt(directory, out):
    cases, variants = read(directory), read(out)
    progress, kept = False, {}
    still = different(out)
    for name in different(directory):
        those = [variant for variant in still if variant.rsplit(".", 1)[0] == name]
        best = min(those, key=lambda variant: len(variants[variant]), default=None)
        kept[name] = cases[name]
        if best is not None:
            progress = True
            kept[name] = variants[best].replace(f"%case {best}\n", f"%case {name}\n", 1)
    with open(directory + "/cases/fuzz.txt", "w", encoding="utf-8") as file:
        file.write("\n".join(text.rstrip("\n") + "\n" for text in kept.values()))
    sys.exit(0 if progress else 1)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", count, seed, directory]:
            make(int(count), seed, directory)
        case ["shrink", directory, out]:
            shrink(directory, out)
        case ["adopt", directory, out]:
            adopt(directory, out)
        case _:
            sys.exit(__doc__)
