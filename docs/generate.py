#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts what the program says about itself into the manual's chapters and the man page.

    generate.py --vmm PROGRAM --output DIR CHAPTER.md...
    generate.py --vmm PROGRAM --output DIR --man --doc-dir DIR vmm.1.in

The source of every table is the program's own help, so the manual cannot drift from what the options
do. A chapter is Markdown in which a line that is one of these comments stands for generated text:

    <!-- option: NAME... -->        a section for each of these options
    <!-- options: TITLE -->         the same for all options of a group of -help that no chapter names
    <!-- options: rest -->          the same for all groups that no chapter collects
    <!-- properties: KIND NAME -->  a table of the properties of a machine, device, accel, chardev, object
    <!-- properties: drive -->      those of -drive
    <!-- properties: KIND rest -->  the same, with a heading, for those that no chapter names
    <!-- list: KIND -->             what there is of a kind, or of d (log items), cpu, cpu-properties,
                                    monitor and qmp (commands)
    <!-- list: cpu-features -->     the names
    <!-- locking -->                the Locking comments of the headers under include/ (--source)
    <!-- img: commands -->          vmm-img's commands, each with its options (--vmm-img)
    <!-- img: FORMAT -->            what -o takes when an image of that format is made

In the man page the same stands behind '.\\" '. Each option has exactly one section: one that is named
twice, or nowhere, ends the build with a line that says so.
"""

import argparse
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field

KINDS = ("machine", "device", "accel", "chardev", "object")
DIRECTIVE = re.compile(r'^(?:<!-- |\.\\" )(option|options|properties|list): (.*?)(?: -->)?$')
IMG_DIRECTIVE = re.compile(r'^(?:<!-- |\.\\" )img: (\w+)(?: -->)?$')
INDENT_OF_SECTIONS = 3  # "###": an option's heading


class Problem(Exception):
    pass


@dataclass
class Option:
    forms: list      # "-m [size=]SIZE", an alias each
    group: str
    text: list       # lines as -help has them, without their indentation

    @property
    def names(self):
        return [form.split()[0].lstrip("-") for form in self.forms]


@dataclass
class PropertyRow:
    name: str
    type: str
    meaning: str
    default: str


@dataclass
class Thing:
    """A machine, device, accelerator, character backend or object."""
    name: str
    text: str
    properties: list = field(default_factory=list)


# --- What the program says ---

def locking(source):
    """[(header, what it says behind "Locking:")], in order."""
    rows = []
    for folder, _, names in sorted(os.walk(os.path.join(source, "include"))):
        for name in sorted(names):
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as file:
                found = re.search(r"^ \* Locking: (.*?)(?=\n \*(?:/|\n| [A-Z][a-z]+:))", file.read(), re.M | re.S)
            if found:
                rows.append((os.path.relpath(path, os.path.join(source, "include")),
                             re.sub(r"\s*\n \*\s*", " ", found[1])))
    return rows


def run_program(path, args):
    env = dict(os.environ, LC_ALL="C", ASAN_OPTIONS="detect_leaks=0")
    done = subprocess.run([path, *args], capture_output=True, text=True, env=env, timeout=60)
    if done.returncode != 0:
        raise Problem(f"'{path} {' '.join(args)}' failed: {done.stderr.strip()}")
    return done.stdout.splitlines()


@dataclass
class ImgCommand:
    name: str
    usage: str
    text: str
    options: list    # (form, text)


class ImgProgram:
    """vmm-img, whose help is a list of commands, each with a help of its own."""

    def __init__(self, path):
        self.path = os.path.abspath(path)

    def commands(self):
        help_text = "\n".join(run_program(self.path, ["--help"]))
        names = re.findall(r"^  (\w+) ", help_text.split("Commands:\n")[1].split("\n\n")[0], re.M)
        return [self._command(name) for name in names]

    def _command(self, name):
        lines = run_program(self.path, [name, "--help"])
        column = lines[-1].index("show this")
        options = [(line[2:column].strip(), line[column:]) for line in lines[lines.index("Options:") + 1:]]
        return ImgCommand(name, lines[0].removeprefix("Usage: "), lines[2], options)

    def create_options(self, driver):
        rows = []
        for line in run_program(self.path, ["create", "-f", driver, "-o", "help"])[1:]:
            match = re.match(r"  (\S+?)=<([^>]+)> *(.*?)(?: \(default: (.*)\))?$", line)
            rows.append(PropertyRow(match[1], match[2], match[3], match[4] or ""))
        return Thing(driver, "", rows)


class Program:
    def __init__(self, path):
        self.path = os.path.abspath(path)
        self.options = self._read_options()
        self.things = {}

    def _run(self, *args):
        return run_program(self.path, args)

    def _read_options(self):
        options, group, column = [], None, None
        lines = self._run("-help")
        for line in lines:  # where the texts begin: behind the widest gap of a one-line entry
            match = re.match(r"  -\S+(?: \S+)*?  +(?=\S)", line)
            if match:
                column = max(column or 0, match.end())
        for line in lines:
            if re.match(r"\S.*:$", line):
                group = line[:-1]
            elif line.startswith("  -") and group:
                form, text = line[2:column].strip(), line[column:].strip()
                if len(line) > column and line[column - 1] != " ":  # too long for text beside it
                    form, text = line.strip(), ""
                options.append(Option([form], group, [text] if text else []))
            elif line.startswith(" " * column) and options:
                options[-1].text.append(line[column:].rstrip())
            elif line.startswith(" ") and line.strip() and group:
                raise Problem(f"-help: cannot place the line '{line}'")
        return self._merge_aliases(options)

    @staticmethod
    def _merge_aliases(options):
        merged = []
        for option in options:
            if option.text == ["the same"] and merged:
                merged[-1].forms += option.forms
            else:
                merged.append(option)
        return merged

    def groups(self):
        return list(dict.fromkeys(option.group for option in self.options))

    def option(self, name):
        for option in self.options:
            if name in option.names:
                return option
        raise Problem(f"there is no option '-{name}'")

    def list(self, kind):
        """[(name, description)] of a kind."""
        if kind.startswith("cpu"):
            return self._list_cpu(kind)
        if kind in ("monitor", "qmp"):
            lines = "\n".join(self._run(f"-{kind}", "help"))
            return re.findall(r"^  (\S.*?) +-- (.*)$", lines, re.M)
        rows = []
        for line in self._run(f"-{kind}", "help"):
            match = re.match(r"  (\S+) +(bus \S+ .*)$", line) or re.match(r"(?:  )?([^\s:']+)  +(\S.*)$", line)
            if match:
                rows.append((match[1], re.sub(r"^bus \S+ +", "", match[2]).strip()))
        if not rows:
            raise Problem(f"'-{kind} help' lists nothing")
        return rows

    def _list_cpu(self, kind):
        models, properties, features = "\n".join(self._run("-cpu", "help")).split("\n\n")
        if kind == "cpu":
            return re.findall(r"^x86 (\S+) +(.*?) *$", models, re.M)
        if kind == "cpu-properties":
            return re.findall(r"^  (\S+) +(.*)$", properties, re.M)
        return [(name, "") for name in features.split(":\n")[1].split()]

    def all(self, kind):
        if kind not in self.things:
            self.things[kind] = [self._thing(kind, name, text) for name, text in self.list(kind)]
        return self.things[kind]

    def _thing(self, kind, name, text):
        thing = Thing(name, "" if kind == "accel" else text)
        for line in self._run(f"-{kind}", f"{name},help" if name != f"-{kind}" else "help"):
            match = re.match(r"  (\S+?)=<([^>]+)> *(.*)$", line)
            if match:
                meaning, default = match[3], ""
                found = re.search(r" ?\(default: (.*)\)$", meaning)
                if found:
                    meaning, default = meaning[:found.start()], found[1]
                thing.properties.append(PropertyRow(match[1], match[2], meaning, default))
        return thing

    def thing(self, kind, name):
        if name == f"-{kind}":  # an option with properties of its own
            return self._thing(kind, name, "")
        for thing in self.all(kind):
            if thing.name == name:
                return thing
        raise Problem(f"there is no {kind} '{name}'")


def paragraphs(lines):
    """[(is_literal, [line])]: running text, and what -help sets in columns of its own."""
    parts = []
    for line in lines:
        literal = line.startswith("  ")
        if not parts or parts[-1][0] != literal:
            parts.append((literal, []))
        parts[-1][1].append(line)
    return parts


NAMES = {"gdb", "kvm", "dbt", "qtest", "vmm"}  # words that keep their small letter at the beginning


def sentence(text):
    text = text.strip()
    first = re.match(r"[a-z]+\b(?![-=./|])", text)
    if first and first[0] not in NAMES:
        text = text[0].upper() + text[1:]
    return text if not text or text.endswith((".", ":")) else text + "."


# --- The two forms of the text ---

class Markdown:
    @staticmethod
    def escape(text):
        return re.sub(r"([|<>*_])", r"\\\1", text)

    def option(self, option):
        yield "#" * INDENT_OF_SECTIONS + " " + ", ".join(f"`-{name}`" for name in option.names)
        yield ""
        for form in option.forms:
            yield f"    {form}"
        yield ""
        for literal, lines in paragraphs(option.text):
            if literal:
                yield from (f"    {line.strip()}" for line in lines)
            else:
                yield sentence(self.escape(" ".join(lines)))
            yield ""

    def properties(self, kind, thing):
        if not thing.properties:
            yield f"`{thing.name}` has no properties."
            yield ""
            return
        yield f"| property of `{thing.name}` | type | default | meaning |"
        yield "|---|---|---|---|"
        for row in thing.properties:
            default = f"`{row.default}`" if row.default else ""
            yield f"| `{row.name}` | {row.type} | {default} | {self.escape(row.meaning)} |"
        yield ""

    def titled_properties(self, kind, thing):
        yield "#" * INDENT_OF_SECTIONS + f" `{thing.name}`"
        yield ""
        if thing.text:
            yield sentence(self.escape(thing.text))
            yield ""
        yield from self.properties(kind, thing)

    def img_command(self, command):
        yield "#" * INDENT_OF_SECTIONS + f" `{command.name}`"
        yield ""
        yield f"    {command.usage}"
        yield ""
        yield self.escape(command.text)
        yield ""
        yield "| option | meaning |"
        yield "|---|---|"
        for form, text in command.options:
            yield f"| `{form}` | {self.escape(text)} |"
        yield ""

    def names(self, names):
        yield " ".join(f"`{name}`" for name in names)
        yield ""

    def list(self, rows):
        yield "| name | |"
        yield "|---|---|"
        for name, text in rows:
            yield f"| `{name}` | {self.escape(text)} |"
        yield ""


class Man:
    @staticmethod
    def escape(text):
        text = text.replace("\\", "\\e").replace("-", "\\-")
        return "\\&" + text if text.startswith((".", "'")) else text

    def group(self, title):
        yield f".SS {self.escape(title)}"

    def option(self, option):
        yield ".TP"
        forms = []
        for form in option.forms:
            name, _, argument = form.partition(" ")
            forms.append(f"\\fB{self.escape(name)}\\fR" + (f" {self.escape(argument)}" if argument else ""))
        yield ", ".join(forms)
        for literal, lines in paragraphs(option.text):
            if literal:
                for line in lines:
                    yield ".br"
                    yield self.escape(line.strip())
                yield ".br"
            else:
                yield self.escape(sentence(" ".join(lines)))

    def properties(self, kind, thing):
        for row in thing.properties:
            yield ".TP"
            yield f"\\fB{self.escape(row.name)}\\fR=\\fI{self.escape(row.type)}\\fR"
            default = f" Default: {row.default}." if row.default else ""
            yield self.escape((sentence(row.meaning) + default).strip() or "(no description)")

    def titled_properties(self, kind, thing):
        if thing.properties:
            yield f".SS {self.escape(thing.name)}"
            yield from self.properties(kind, thing)

    def img_command(self, command):
        yield f".SS {self.escape(command.name)}"
        yield f"\\fB{self.escape(command.usage)}\\fR"
        yield ".PP"
        yield self.escape(command.text)
        for form, text in command.options:
            yield ".TP"
            yield f"\\fB{self.escape(form)}\\fR"
            yield self.escape(sentence(text))

    def names(self, names):
        yield self.escape(" ".join(names))

    def list(self, rows):
        for name, text in rows:
            yield ".TP"
            yield f"\\fB{self.escape(name)}\\fR"
            yield self.escape(sentence(text))


# --- Directives ---

class Generator:
    def __init__(self, program, img, form, texts, source):
        self.program, self.img, self.form, self.texts, self.source = program, img, form, texts, source
        self.named, self.collected = {}, set()
        self.named_things = {kind: set() for kind in KINDS}
        self._look_ahead()

    def _directives(self):
        for path, lines in self.texts.items():
            for number, line in enumerate(lines, 1):
                match = DIRECTIVE.match(line)
                if match:
                    yield f"{path}:{number}", match[1], match[2].split(" ") if match[1] != "options" else [match[2]]

    def _look_ahead(self):
        """Who is named where: what "rest" means in one chapter depends on all of them."""
        rest = False
        for where, kind, words in self._directives():
            if kind == "option":
                for name in words:
                    option = self.program.option(name)
                    if id(option) in self.named:
                        raise Problem(f"{where}: '-{name}' has a section already, at {self.named[id(option)]}")
                    self.named[id(option)] = where
            elif kind == "options" and words[0] == "rest":
                rest = True
            elif kind == "options":
                if words[0] not in self.program.groups():
                    raise Problem(f"{where}: -help has no group '{words[0]}'")
                self.collected.add(words[0])
            elif kind == "properties" and words[1:] != ["rest"]:
                if words == ["drive"]:
                    continue
                if len(words) != 2 or words[0] not in KINDS:
                    raise Problem(f"{where}: 'KIND NAME' or 'KIND rest' is wanted")
                self.program.thing(*words)
                self.named_things[words[0]].add(words[1])
        homeless = [option for option in self.program.options
                    if not rest and any(self._directives()) and id(option) not in self.named and option.group not in self.collected]
        if homeless:
            raise Problem(f"no chapter has a section for '-{homeless[0].names[0]}'; add "
                          f"'<!-- option: {homeless[0].names[0]} -->' to the one it belongs to")

    def _group(self, title):
        for option in self.program.options:
            if option.group == title and id(option) not in self.named:
                yield from self.form.option(option)

    def _rest(self):
        for title in self.program.groups():
            left = list(self._group(title)) if title not in self.collected else []
            if left and hasattr(self.form, "group"):
                yield from self.form.group(title)
            yield from left

    def _expand(self, kind, words):
        if kind == "option":
            for name in words:
                yield from self.form.option(self.program.option(name))
        elif kind == "options":
            yield from (self._rest() if words[0] == "rest" else self._group(words[0]))
        elif kind == "list" and words[0] == "cpu-features":
            yield from self.form.names([name for name, _ in self.program.list(words[0])])
        elif kind == "list":
            yield from self.form.list(self.program.list(words[0]))
        elif words == ["drive"]:
            yield from self.form.properties("drive", self.program.thing("drive", "-drive"))
        elif words[1] != "rest":
            yield from self.form.properties(words[0], self.program.thing(*words))
        else:
            for thing in self.program.all(words[0]):
                if thing.name not in self.named_things[words[0]]:
                    yield from self.form.titled_properties(words[0], thing)

    def _expand_img(self, word):
        if word != "commands":
            yield from self.form.properties("img", self.img.create_options(word))
            return
        for command in self.img.commands():
            yield from self.form.img_command(command)

    def text(self, path):
        for line in self.texts[path]:
            match = DIRECTIVE.match(line)
            of_img = IMG_DIRECTIVE.match(line)
            if line == "<!-- locking -->":
                yield from self.form.list(locking(self.source))
            elif of_img:
                yield from self._expand_img(of_img[1])
            elif not match:
                yield line.replace("@VERSION@", self.program._run("-version")[0].split()[-1])
            else:
                yield from self._expand(match[1], match[2].split(" ") if match[1] != "options" else [match[2]])


def squeeze(lines):
    """No two blank lines in a row."""
    previous = ""
    for line in lines:
        if line or previous:
            yield line
        previous = line


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vmm", required=True)
    parser.add_argument("--vmm-img", default="vmm-img")
    parser.add_argument("--output", required=True, help="directory")
    parser.add_argument("--source", default=".", help="the tree's root")
    parser.add_argument("--man", action="store_true", help="the files are man pages, NAME.in")
    parser.add_argument("--doc-dir", default="", help="where the manual is installed; @DOCDIR@")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    texts = {}
    for path in args.files:
        with open(path, encoding="utf-8") as file:
            texts[path] = file.read().replace("@DOCDIR@", args.doc_dir).split("\n")
    try:
        generator = Generator(Program(args.vmm), ImgProgram(args.vmm_img), Man() if args.man else Markdown(), texts, args.source)
        results = {path: "\n".join(squeeze(generator.text(path))).rstrip("\n") + "\n" for path in texts}
    except Problem as problem:
        sys.exit(f"manual: {problem}")
    for path, text in results.items():
        name = os.path.basename(path)
        target = os.path.join(args.output, name[:-3] if name.endswith(".in") else name)
        with open(target, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
