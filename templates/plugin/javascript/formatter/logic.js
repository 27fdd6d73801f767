// Marks citations by letters.

/** The letters of a number from 1: a to z, then aa, ab and so on. */
export function letters(number, capital) {
  let written = '';
  for (let rest = number; rest > 0; rest = Math.floor(rest / 26)) {
    rest -= 1;
    written = String.fromCharCode((capital ? 65 : 97) + (rest % 26)) + written;
  }
  return written;
}
