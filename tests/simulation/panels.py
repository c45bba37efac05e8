"""What must hold of panels: in every commit, and of every conversation at the end, from the rows and the teachers' ledgers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

from daemon.sampling.panels import completion
from engine.question import Question
from engine.strategies import Conversation, Panel, Settings, Wording, strategy
from engine.teachers.messages import Request
from state.panels import by_slot, heard_by, panel_samples
from state.sqlite import Connection
from tests.simulation.fault_server import FaultServer

IN_TURN = "no turn of a panel begins while a member's turn before is open"
SAME_TALK = "a panel's request is what its stored conversation says"
"""And so the same whatever was killed between two turns."""


class PanelWatch:
    """Looks on at every commit of one life."""

    def __init__(self, connection: Connection, tally: Counter[str]) -> None:
        self._connection = connection
        self._tally = tally
        self._newest = self._read_newest()

    def committed(self) -> None:
        """Checks the turns that begin with what is new on disk; one that is asked again began before."""
        since, self._newest = self._newest, self._read_newest()
        if since >= self._newest:
            return
        rows = self._connection.execute(
            "SELECT a.id, a.turn, s.question_id, s.replicate, m.member, (SELECT x.state FROM sample x"
            "  WHERE x.question_id = s.question_id AND x.recipe = m.recipe AND x.replicate = s.replicate),"
            "  EXISTS (SELECT 1 FROM sample x JOIN attempt o ON o.sample_id = x.id WHERE x.question_id = s.question_id"
            "   AND x.recipe = m.recipe AND x.replicate = s.replicate AND o.turn = a.turn - 1 AND o.outcome = 'ok'), s.replicate < m.most"
            " FROM attempt a JOIN sample s ON s.id = a.sample_id JOIN plan p ON p.id = s.plan_id AND p.panel <> ''"
            " JOIN (SELECT panel, member, recipe, max(rationales) most FROM plan GROUP BY 1, 2, 3) m ON m.panel = p.panel"
            " WHERE a.id > ? AND a.turn > 0 AND NOT EXISTS (SELECT 1 FROM attempt e"
            "  WHERE e.sample_id = a.sample_id AND e.turn = a.turn AND e.id < a.id)",
            (since,),
        ).fetchall()
        for attempt, turn, question, replicate, member, state, answered, asks in rows:
            self._tally[IN_TURN] += 1
            never = state is None and not asks  # the plan was told to ask for fewer
            assert answered or state in ("stored", "failed") or never, (
                f"attempt {attempt} asks turn {turn} of question {question}.{replicate} while member {member} is {state}"
            )

    def _read_newest(self) -> int:
        return int(self._connection.execute("SELECT coalesce(max(id), 0) FROM attempt").fetchone()[0])


def check_panels(connection: Connection, servers: Mapping[str, FaultServer], tally: Counter[str]) -> None:
    """Every answered request of a panel was the one that its stored conversation leads to."""
    prompts = {entry.request_id: entry.prompt for server in servers.values() for entry in server.entries}
    retried = connection.execute("SELECT 1 FROM command WHERE kind = 'retry'").fetchone() is not None
    for plan, settings, active in connection.execute(
        "SELECT id, settings, active FROM plan WHERE panel <> '' AND claimed > 0"
    ).fetchall():
        told = json.loads(settings)
        names = told["panel"]
        panel = Panel(
            member=names.index(told["teachers"][0]),
            members=len(names),
            rounds=told["rounds"],
            peer_characters=told["peer_characters"],
        )
        asked = Settings(
            answer_format="number",
            max_tokens=told["max_tokens"],
            wording=Wording.restored(told.get("wording", {})),
            panel=panel,
        )
        like = Request(messages=(), max_tokens=told["max_tokens"], stop=tuple(told["stop"]))
        rows = connection.execute(
            "SELECT s.id, s.question_id, s.replicate, s.state, s.rationale, s.flags, q.text FROM sample s"
            " JOIN question q ON q.id = s.question_id WHERE s.plan_id = ?",
            (plan,),
        ).fetchall()
        slots = by_slot(panel_samples(connection, plan, {row[1:3] for row in rows}))
        for sample, question, replicate, state, rationale, flags, text in rows:
            samples = slots[question, replicate]
            own = next(each for each in samples if each.sample_id == sample)
            talk = Conversation(
                strategy("brainstorm"), Question(key="", text=text, answer="", split="train"), asked
            )
            while talk.finished is None:
                if talk.hears is not None:
                    if talk.hears + 1 not in own.asked and state != "stored":
                        break  # given up before it was asked again
                    heard = heard_by(own, samples, talk.hears)
                    talk.hear(tuple((member, completion(reply, like)) for member, reply in heard))
                    if talk.finished is None and talk.turn not in own.asked:
                        assert retried, f"sample {sample} is {state} before its conversation ends"
                        break  # a member that was given up then has answered since
                    continue
                assert talk.request is not None
                if (reply := own.replies.get(talk.turn)) is None:
                    assert state == "failed" or not active, (
                        f"sample {sample} is {state} without an answer to turn {talk.turn}"
                    )
                    break
                (request,) = connection.execute(
                    "SELECT request_id FROM attempt WHERE id = ?", (reply.attempt_id,)
                ).fetchone()
                tally[SAME_TALK] += 1
                assert prompts[request] == talk.request.messages[-1].content, (
                    f"sample {sample}, turn {talk.turn}"
                )
                talk.answer(completion(reply, like))
            if state == "stored" and talk.finished is not None:
                ended = talk.finished.rationale, list(talk.finished.flags)
                assert retried or ended == (rationale, json.loads(flags)), f"sample {sample} ended otherwise"
                assert len(own.replies) == talk.turn, f"sample {sample} was asked more than it needed"
