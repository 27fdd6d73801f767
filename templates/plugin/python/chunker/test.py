import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from logic import join, paragraphs
from spans import byte_offsets


class Tests(unittest.TestCase):
    def test_paragraphs_end_at_blank_lines(self):
        text = "  Eins\nzwei\n\n\nDrei 日本\n"
        self.assertEqual([text[a:b] for a, b in paragraphs(text)], ["Eins\nzwei", "Drei 日本"])

    def test_neighbours_are_joined_while_there_is_room(self):
        self.assertEqual(join([(0, 3), (5, 8), (10, 13)], [6, 4, 1], 10), [(0, 8), (10, 13)])

    def test_offsets_are_bytes(self):
        self.assertEqual(byte_offsets("aé日👩b", range(6), 10), [10, 11, 13, 16, 20, 21])


if __name__ == "__main__":
    unittest.main()
