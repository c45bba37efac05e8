"""`coterie completion SHELL`: completion of commands and options, as a script for a shell."""

from __future__ import annotations

import argparse
import sys

SHELLS = ("bash", "zsh", "fish")

BASH = """# coterie completion bash > ~/.local/share/bash-completion/completions/coterie
_coterie() {{
    local words
    case "${{COMP_WORDS[1]}}" in
{cases}
        *) words="{commands}" ;;
    esac
    [ "$COMP_CWORD" -eq 1 ] && words="{commands}"
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _coterie coterie
"""
ZSH = """#compdef coterie
# coterie completion zsh > "${{fpath[1]}}/_coterie"
autoload -U +X bashcompinit && bashcompinit
{bash}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("shell", choices=SHELLS)


def command(arguments: argparse.Namespace) -> int:
    """Prints the script."""
    words = _words()
    if arguments.shell == "fish":
        sys.stdout.write("".join(_fish(words)))
        return 0
    cases = "\n".join(
        f'        {name}) words="{" ".join(options)}" ;;' for name, (_, options) in words.items()
    )
    bash = BASH.format(cases=cases, commands=" ".join(words))
    sys.stdout.write(ZSH.format(bash=bash) if arguments.shell == "zsh" else bash)
    return 0


def _words() -> dict[str, tuple[str, list[str]]]:
    """Each command with what it does, and its options and choices."""
    from daemon.cli.parser import build  # it knows this module by name

    parser = build()
    [commands] = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    helps = {each.dest: each.help or "" for each in commands._choices_actions}
    found: dict[str, tuple[str, list[str]]] = {}
    for name, sub in commands.choices.items():
        options = [
            each
            for action in sub._actions
            if action.help != argparse.SUPPRESS
            for each in action.option_strings
        ]
        choices = [
            str(each)
            for action in sub._actions
            if not action.option_strings and action.choices
            for each in action.choices
        ]
        found[name] = helps.get(name, ""), [*choices, *options]
    return found


def _fish(words: dict[str, tuple[str, list[str]]]) -> list[str]:
    lines = [
        "# coterie completion fish > ~/.config/fish/completions/coterie.fish\n",
        "complete -c coterie -f\n",
    ]
    for name, (text, options) in words.items():
        said = text.replace("\\", "").replace("'", "\\'")
        lines.append(f"complete -c coterie -n __fish_use_subcommand -a {name} -d '{said}'\n")
        seen = f"'__fish_seen_subcommand_from {name}'"
        for option in options:
            kind = (
                f"-l {option[2:]}"
                if option.startswith("--")
                else f"-s {option[1:]}"
                if option.startswith("-")
                else f"-a {option}"
            )
            lines.append(f"complete -c coterie -n {seen} {kind}\n")
    return lines
