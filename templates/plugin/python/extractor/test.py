import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from logic import columns, rows


class Tests(unittest.TestCase):
    def test_rows_may_hold_line_breaks_in_quotation_marks(self):
        text = 'name,note\r\nAnn,"two\nlines"\n\nJürgen,日本'
        self.assertEqual([text[a:b] for a, b in rows(text)], ["name,note", 'Ann,"two\nlines"', "Jürgen,日本"])

    def test_separators_in_quotation_marks_separate_nothing(self):
        self.assertEqual(columns('a,"b,c",d', ","), 3)
        self.assertEqual(columns("a;b", ";"), 2)


if __name__ == "__main__":
    unittest.main()
