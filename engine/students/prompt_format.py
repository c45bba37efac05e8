"""The text around a question and a completion, by architecture: the formats of the paper. Pure; knows no tokenizer.

                  CONTINUED (decoders)       TRANSLATED (encoder-decoders)
    prompt        {question} ###             {question}
    completion     {target} END              {target}

A method (engine/methods) makes the target, for example `{rationale} --> {answer}`. An encoder-decoder sees where the
question ends, and its decoder stops at the tokenizer's end token, so nothing needs a mark. Source: Ho et al. 2023,
appendix on the format of fine-tuning data; for encoder-decoders, the templates of the authors' public code.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.methods.base import END


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """The marks between and after question and completion."""

    mark: str
    """Ends the question."""
    lead: str
    """Begins the completion."""
    end: str
    """Ends the completion."""

    def prompt(self, question: str) -> str:
        """The text that a student continues or answers."""
        return f"{question.strip()}{self.mark}"

    def completion(self, target: str) -> str:
        """The text that a student learns to write after the prompt."""
        return f"{self.lead}{target}{self.end}"


CONTINUED = PromptFormat(mark=" ###", lead=" ", end=f" {END}")
TRANSLATED = PromptFormat(mark="", lead="", end="")
