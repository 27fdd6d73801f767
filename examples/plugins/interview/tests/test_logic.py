import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from logic import chunks, turns

TEXT = """Recorded in Zürich.

ANN [00:01]: How long does
the warranty last?
Dr. Müller: Two years.
Note: the cable is not covered.

日本: はい。
"""


def texts(text, max_tokens=100, tokens=10):
    found = turns(text)
    made = chunks(found, [[tokens] * len(turn.lines) for turn in found], max_tokens)
    return [(text[slice(*chunk.at)], chunk.question and text[slice(*chunk.question)]) for chunk in made]


class Tests(unittest.TestCase):
    def test_a_name_begins_a_turn(self):
        self.assertEqual([turn.speaker for turn in turns(TEXT)], ["", "ANN", "Dr. Müller", "Note", "日本"])
        self.assertEqual(turns("\n \n"), [])
        self.assertEqual([turn.speaker for turn in turns("http://x: y\nthe time: 10:30\nA b c d e f: g")], [""])

    def test_an_answer_has_its_question(self):
        question = "ANN [00:01]: How long does\nthe warranty last?"
        self.assertEqual(texts(TEXT)[1:3], [(question, None), ("Dr. Müller: Two years.", question)])
        self.assertEqual(texts("A: Really?\nA: Yes."), [("A: Really?", None), ("A: Yes.", None)])

    def test_a_long_turn_is_cut_at_its_lines(self):
        self.assertEqual([text for text, _ in texts("A: one\ntwo\nthree", 20)], ["A: one\ntwo", "three"])
        self.assertEqual([text for text, _ in texts("A: one\ntwo", 5)], ["A: one", "two"])


if __name__ == "__main__":
    unittest.main()
