// Finds quoted phrases.

/** The phrases in quotation marks, in order, each once. Eight at most: each costs a search. */
export function phrases(question) {
  const parts = question.split(/["“”„]/u).filter((_, index) => index % 2 === 1);
  return [...new Set(parts.map((part) => part.trim()).filter((part) => part !== ''))].slice(0, 8);
}
