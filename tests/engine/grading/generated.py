"""Answers of every format, made at random from a seed: a right one, a wrong one, and what may stand around them."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from random import Random

MARKS = (
    "The answer is {}.", "Answer: {}", "Final answer: {}", "**Answer:** {}", "**Answer: {}**", "The final answer is {}.",
    "Therefore, the answer is {}.", "So the correct answer is {}.", "My answer is {}.", "My final answer is: {}",
    "It all adds up. Answer: {}", "### Answer\n{}", "**Final Answer**\n\n{}", "## Final Answer\n\n**{}**", "#### {}", "--> {}",
    "<answer>{}</answer>", "<answer>\n{}\n</answer>", "ANSWER: {}", "answer = {}",
    "Final Answer: The final answer is {}. I hope it is correct.", "Hence, the answer would be {}.", "The answer should be {}.",
    "Die Antwort ist {}.", "Antwort: {}", "Die richtige Antwort lautet {}.", "La réponse est {}.", "Réponse : {}",
    "La respuesta es {}.", "Respuesta final: {}", "A resposta é {}.", "Resposta: {}", "La risposta è {}.", "Risposta: {}",
    "Het antwoord is {}.", "Svar: {}", "Odpowiedź: {}", "Ответ: {}", "Ответ: {}.", "Відповідь: {}", "Απάντηση: {}",
    "Cevap: {}", "Đáp án: {}", "Đáp án là {}.", "Jawaban: {}", "答案是{}。", "答案：{}", "答案是：{}", "最终答案：{}", "答え：{}",
    "答えは{}です。", "解答：{}", "정답: {}", "정답은 {}입니다.", "답: {}", "الجواب: {}", "الإجابة هي {}.", "सही उत्तर: {}", "उत्तर: {}",
    "คำตอบคือ {}", "תשובה: {}",
)  # fmt: skip
"""Wordings of "the answer is", each with a place for the answer."""

REASONED = (
    "The answer is {} because {}.", "The answer is {}, because {}.", "Answer: {}, since {}.", "Answer: {} ({})",
    "The answer is {}. This is so because {}.", "Answer: {}\n\nReason: {}.", "#### {}\n\nFor {}.", "The answer is {}, as {}.",
    "Final answer: {}. We know it since {}.", "<answer>{}</answer>\nThe reason is that {}.", "Die Antwort ist {}, weil {}.",
    "La respuesta es {} porque {}.", "La réponse est {}, car {}.", "Ответ: {}, потому что {}.", "答案是{}，因为{}。",
)  # fmt: skip
"""A marked answer and a reason behind it."""

CLOSINGS = (
    "\n\nI hope this helps!", "\n\nLet me know if you have any other questions.",
    "\n\nLet me know if you have 3 more questions.", "\n\nThat is my final answer.", "\n\n---\n*Thank you for asking!*",
    "\n\nConfidence: 95%", "\n\nFeel free to ask again.", "\n\nIs there anything else I can do for you?", "\n\nHave a nice day! :)",
    "\n\n(I checked this twice.)", "\n\nQ.E.D.", "\n\nNote: I am only a language model.", "\n", "   ", "\n\n\n",
)  # fmt: skip

THOUGHTS = (
    "<think>Maybe {}.</think>\n\n", "<think>\nThe answer is {}. Hmm, no.\n</think>\n\n", "<think>\\boxed{{{}}}?</think>\n",
    "Could it be {}?\n</think>\n\n", "<think>\n\n</think>\n\n", "<thinking>Answer: {}</thinking>\n", "<think>{}</think>",
)  # fmt: skip

FURTHER = (
    "\n\nQuestion: And what about the other one?\nAnswer: {}", "\n\nQ: And what about the other one?\nA: {}",
    "\n\n### Question\nAnd what about the other one?\n\n### Answer\n{}", "\n\nQ: And then?\nA: The answer is {}.",
    "\n\n**Question:** And the next?\n**Answer:** {}", "\nQuestion: And the next?\nTherefore, the answer is {}.",
    "\n\nHuman: And the next?\n\nAssistant: The answer is {}.",
)  # fmt: skip
"""Another question and its answer."""

EMPHASISED = ("**{}**", "*{}*", "__{}__", "***{}***", "<b>{}</b>", '"{}"')
UNITS = (
    " km", " apples", " cm²", " m^2", " dollars", " years", " hours", " m/s", " kg", " euros", " people", " °C", " square feet",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """One question: its gold answer, the same answer as somebody may write it, and a wrong one.

    `reason` is a true clause about the first text it gets, which names the second as well.
    """

    gold: str
    right: str
    wrong: str
    reason: Callable[[str, str], str]
    question: str | None = None


def number(random: Random) -> Sample:
    value = Fraction(
        random.choice((random.randint(0, 30), random.randint(0, 2000), random.randint(10**6, 10**10)))
    )
    if random.random() < 0.3:
        value += Fraction(random.choice((1, 1, 2, 3)), random.choice((2, 4, 5, 8, 10)))
    if value and random.random() < 0.15:
        value = -value
    near = (value + 1, value - 1, value * 10, value + Fraction(1, 2), -value, value + 100)
    wrong = random.choice([other for other in near if other != value])

    def reason(answer: str, other: str) -> str:
        first, second = Fraction(value_of[answer]), Fraction(value_of[other])
        return random.choice((
            f"{decimal(first)} + {signed(second - first)} = {decimal(second)}", f"{decimal(first)} is not {decimal(second)}",
            f"{decimal(second)} - {signed(second - first)} = {decimal(first)}, and not {decimal(second)}",
            f"it is {decimal(abs(second - first))} away from {decimal(second)}",
        ))  # fmt: skip

    right_text, wrong_text = written(value, random), written(wrong, random)
    value_of = {right_text: value, wrong_text: wrong}
    return Sample(written(value, random), right_text, wrong_text, reason)


def decimal(value: Fraction) -> str:
    """A value with few decimals, in digits."""
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.4f}".rstrip("0")


def signed(value: Fraction) -> str:
    return decimal(value) if value >= 0 else f"({decimal(value)})"


def written(value: Fraction, random: Random) -> str:
    """A value in one of the notations that mean it and nothing else."""
    forms = [decimal(value)]
    if value.denominator == 1:
        forms += [f"{value.numerator:,}", f"{value.numerator}.0"]
    elif value.denominator > 2:
        forms.append(f"{value.numerator}/{value.denominator}")
    return random.choice(forms)


NUMBERS = (
    "0", "1", "-1", "0.5", "1/2", "50%", "1/3", "0.33", "0.333", "0.333333", "2/3", "0.67", "0.6667", "0.66", "1000000", "1000001",
    "1e6", "1,000,000", "999999", "2.25", "2.3", "2 1/4", "1.38e-23", "6.626e-34", "6.626 × 10^-34", "0.000001", "0.0000019", "3.14",
    "3.14159265", "22/7", "75%", "0.75", "75", "3/4", "12345678901234567890", "12345678901234567891", "1.5 million", "1500000",
    "twelve", "12", "$12.00", "12 km", "10.50", "10.5", "0.1", "1/10", "10%", "-0.5", "-1/2", "2 hours 30 minutes", "150", "2.5",
)  # fmt: skip
"""Notations whose comparison must not depend on which one is the gold."""

WORDS = (
    "spoon knife cup plate fork lamp river window garden pencil basket mirror ladder candle bottle".split()
)


def choice(random: Random) -> Sample:
    letters = "ABCDE"[: random.randint(3, 5)]
    options = dict(zip(letters, random.sample(WORDS, len(letters)), strict=True))
    gold, wrong = random.sample(letters, 2)
    named = {}

    def one(letter: str) -> str:
        text = random.choice(("{0}", "({0})", "{0}. {1}", "({0}) {1}", "{0}) {1}", "{1}", "{0}: {1}")).format(
            letter, options[letter]
        )
        named[text] = letter
        return text

    def reason(answer: str, other: str) -> str:
        letter = named[other]
        return random.choice((
            f"({letter}) does not fit", f"{letter} is wrong", f"the {options[letter]} would break", f"option {letter} is too small",
            f"it is better than ({letter}) {options[letter]}",
        ))  # fmt: skip

    listed = ", ".join(f"({letter}) {text}" for letter, text in options.items())
    return Sample(gold, one(gold), one(wrong), reason, f"What do we need here? Answer choices: {listed}.")


def yes_no(random: Random) -> Sample:
    gold, wrong = random.sample(("yes", "no"), 2)
    forms = (str, str.capitalize, str.upper)

    def reason(answer: str, other: str) -> str:
        return random.choice((
            "there is no other way", "no one was there", "it is true that eight is more than two", "one of the claims is false",
            f"many would say {other.lower()} here", "nobody said that it does not",
        ))  # fmt: skip

    return Sample(gold, random.choice(forms)(gold), random.choice(forms)(wrong), reason, "Would it work?")


NAMES = (
    "Paris", "New York", "J. K. Rowling", "the U.S. Navy", "Romeo and Juliet", "Dr. Watson", "Lake Victoria", "oke", "nk", "yajo",
    "São Paulo", "St. Louis", "Isaac Newton", "ice cream", "the Nile", "Mt. Everest", "carbon dioxide", "3 apples", "C++", "Hà Nội",
)  # fmt: skip


def text(random: Random) -> Sample:
    gold, wrong = random.sample(NAMES, 2)
    if random.random() < 0.3:
        gold = "".join(random.choices("bdeghkmnprtvxz", k=random.randint(2, 6)))  # which makes no word
        wrong = random.choice((gold[::-1] + "x", gold[:-1] + "é", gold + gold[0]))

    def reason(answer: str, other: str) -> str:
        return random.choice((
            f"{other} is too small", f"it is not {other}", f"{other} came later", f"nobody would think of {other}", "it is well known",
        ))  # fmt: skip

    return Sample(gold, random.choice((gold, gold, gold.upper())), wrong, reason)


def date(random: Random) -> Sample:
    day = datetime.date(1950, 1, 1) + datetime.timedelta(random.randint(0, 30_000))
    other = day + datetime.timedelta(random.choice((1, -1, 7, 31, 365)))

    def one(of: datetime.date) -> str:
        return random.choice((
            f"{of:%m/%d/%Y}", f"{of:%Y-%m-%d}", f"{of:%B} {of.day}, {of.year}", f"{of.day} {of:%B} {of.year}",
            f"{of.month}/{of.day}/{of.year}",
        ))  # fmt: skip

    def reason(answer: str, second: str) -> str:
        return random.choice(
            (f"{second} is another day", f"it was {second} then", f"it is not {second}", "a week has 7 days")
        )

    return Sample(one(day), one(day), one(other), reason)


EXPRESSIONS = (
    ("\\frac{1}{2}", "\\frac12", "\\frac{1}{3}"), ("0.75", "\\frac{3}{4}", "0.34"), ("2x+1", "1+2x", "2x"), ("3x", "3x", "3"),
    ("7", "7", "7n"), ("24", "4!", "4"), ("1024", "2^{10}", "2^{9}"), ("\\sqrt{12}", "2\\sqrt{3}", "2"), ("5\\pi", "5\\pi", "5"),
    ("x^2-1", "(x-1)(x+1)", "x^2+1"), ("\\{1,2\\}", "\\{2,1\\}", "\\{1,3\\}"), ("(1,2)", "(1,2)", "(2,1)"), ("1250", "1{,}250", "125"),
    ("-3", "-3", "3"), ("\\frac{7}{2}", "3\\frac{1}{2}", "\\frac{3}{2}"), ("a+b", "b+a", "a-b"), ("90", "90^\\circ", "60"),
    ("3+4i", "4i+3", "3-4i"), ("\\frac{\\sqrt{3}}{2}", "\\dfrac{\\sqrt{3}}{2}", "\\frac{\\sqrt{2}}{2}"), ("1000001", "1000001", "1000000"),
)  # fmt: skip


def math(random: Random) -> Sample:
    gold, right, wrong = random.choice(EXPRESSIONS)

    def reason(answer: str, other: str) -> str:
        return random.choice(
            (f"${other}$ does not fit", f"$2 \\cdot 3 = 6$ and not ${other}$", f"it is not ${other}$")
        )

    return Sample(gold, right, wrong, reason)


def interval(random: Random) -> Sample:
    low = random.randint(-20, 1000)
    high = low + random.randint(1, 50)
    other = (low + 1, high + random.randint(1, 9))

    def one(low: int, high: int) -> str:
        return random.choice(
            (f"[{low}, {high}]", f"{low} to {high}", f"from {low} to {high}", f"between {low} and {high}")
        )

    def reason(answer: str, second: str) -> str:
        return random.choice(
            (
                f"{second} is too much",
                f"it is not {second}",
                f"{high} - {signed(Fraction(low))} = {high - low}",
            )
        )

    return Sample(f"[{low}, {high}]", one(low, high), one(*other), reason)


SAMPLES: dict[str, Callable[[Random], Sample]] = {
    "number": number, "choice": choice, "yes_no": yes_no, "text": text, "date": date, "math": math, "interval": interval,
}  # fmt: skip


def shown(answer: str, answer_format: str) -> str:
    """An answer as it stands in a sentence: mathematics between dollar signs."""
    return f"${answer}$" if answer_format == "math" else answer


def marked(answer: str, answer_format: str, mark: str) -> str:
    return mark.format(shown(answer, answer_format))


def wordings(answer: str, answer_format: str) -> list[str]:
    """An answer behind every mark, also in a box and as JSON."""
    boxed = answer if answer_format == "math" or answer.isdecimal() else f"\\text{{{answer}}}"
    return [
        *(marked(answer, answer_format, mark) for mark in MARKS),
        f"\\boxed{{{boxed}}}", f"So we get \\boxed{{{boxed}}}.", f"$$\\boxed{{{boxed}}}$$",
        json.dumps({"answer": answer}), json.dumps({"reason": "as told", "answer": answer}, indent=1),
    ]  # fmt: skip
