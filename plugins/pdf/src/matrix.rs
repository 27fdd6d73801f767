//! Affine matrices as PDF writes them: `[a b c d e f]`, row vectors on the left.

/// `x' = a x + c y + e`, `y' = b x + d y + f`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Matrix {
    pub(crate) a: f32,
    pub(crate) b: f32,
    pub(crate) c: f32,
    pub(crate) d: f32,
    pub(crate) e: f32,
    pub(crate) f: f32,
}

impl Matrix {
    pub(crate) const IDENTITY: Matrix = Matrix::new(1.0, 0.0, 0.0, 1.0, 0.0, 0.0);

    pub(crate) const fn new(a: f32, b: f32, c: f32, d: f32, e: f32, f: f32) -> Self {
        Matrix { a, b, c, d, e, f }
    }

    pub(crate) const fn translation(x: f32, y: f32) -> Self {
        Matrix::new(1.0, 0.0, 0.0, 1.0, x, y)
    }

    pub(crate) fn from_slice(v: &[f32]) -> Option<Self> {
        match *v {
            [a, b, c, d, e, f] => Some(Matrix::new(a, b, c, d, e, f)),
            _ => None,
        }
    }

    /// `self`, then `next`.
    pub(crate) fn then(&self, next: &Matrix) -> Matrix {
        Matrix {
            a: self.a * next.a + self.b * next.c,
            b: self.a * next.b + self.b * next.d,
            c: self.c * next.a + self.d * next.c,
            d: self.c * next.b + self.d * next.d,
            e: self.e * next.a + self.f * next.c + next.e,
            f: self.e * next.b + self.f * next.d + next.f,
        }
    }

    /// A shift by `x` and `y`, then `self`: what most operators of text do.
    pub(crate) fn shifted(&self, x: f32, y: f32) -> Matrix {
        let (e, f) = self.apply(x, y);
        Matrix { e, f, ..*self }
    }

    pub(crate) fn apply(&self, x: f32, y: f32) -> (f32, f32) {
        (self.a * x + self.c * y + self.e, self.b * x + self.d * y + self.f)
    }
}
