import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from logic import letters


class Tests(unittest.TestCase):
    def test_letters_go_on_after_z(self):
        self.assertEqual([letters(n, False) for n in (1, 2, 26, 27, 52, 703)], ["a", "b", "z", "aa", "az", "aaa"])
        self.assertEqual(letters(28, True), "AB")


if __name__ == "__main__":
    unittest.main()
