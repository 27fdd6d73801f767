import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from logic import phrases


class Tests(unittest.TestCase):
    def test_phrases_stand_between_marks(self):
        self.assertEqual(phrases("What is “net debt” and \"EBITDA\" and “net debt”?"), ["net debt", "EBITDA"])
        self.assertEqual(phrases("What is it?"), [])
        self.assertEqual(phrases('""'), [])


if __name__ == "__main__":
    unittest.main()
