//! Bounds on the work that a file can ask for, and the counters that hold it to them. A file is
//! hostile until it is read: every loop over its content draws on a budget here.

use crate::failure::Failure;

/// Upper bounds. All are far above what real documents need.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest file, in bytes.
    pub file_bytes: u64,
    /// Most pages.
    pub pages: usize,
    /// Most bytes that one stream may decompress to.
    pub stream_bytes: usize,
    /// Most bytes that all streams that are read for text may decompress to together.
    pub decompressed_bytes: u64,
    /// Most content operators on one page, forms and annotations included.
    pub page_operators: u64,
    /// Most content operators in the whole file.
    pub operators: u64,
    /// Most glyphs on one page.
    pub page_glyphs: usize,
    /// Most glyphs in the whole file.
    pub glyphs: u64,
    /// Most Form XObjects and Type 3 resources drawn on one page.
    pub page_forms: u32,
    /// How deep Form XObjects may nest; deeper ones are left out.
    pub form_depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            file_bytes: 256 << 20,
            pages: 20_000,
            stream_bytes: 64 << 20,
            decompressed_bytes: 2 << 30,
            page_operators: 5_000_000,
            operators: 200_000_000,
            page_glyphs: 400_000,
            glyphs: 200_000_000,
            page_forms: 20_000,
            form_depth: 16,
        }
    }
}

/// What is left of [`Limits`] while a file is read.
#[derive(Debug)]
pub(crate) struct Budget {
    limits: Limits,
    decompressed: u64,
    operators: u64,
    page_operators: u64,
    glyphs: u64,
    page_glyphs: usize,
    page_forms: u32,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Budget {
            limits,
            decompressed: 0,
            operators: 0,
            page_operators: 0,
            glyphs: 0,
            page_glyphs: 0,
            page_forms: 0,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Resets what is counted page by page.
    pub(crate) fn start_page(&mut self) {
        self.page_operators = 0;
        self.page_glyphs = 0;
        self.page_forms = 0;
    }

    /// Most bytes that the next stream may decompress to.
    pub(crate) fn stream_allowance(&self) -> usize {
        let left = self.limits.decompressed_bytes - self.decompressed;
        usize::try_from(left).map_or(self.limits.stream_bytes, |left| left.min(self.limits.stream_bytes))
    }

    pub(crate) fn decompressed(&mut self, bytes: usize) -> Result<(), Failure> {
        self.decompressed += bytes as u64;
        if self.decompressed > self.limits.decompressed_bytes {
            self.decompressed = self.limits.decompressed_bytes;
            return Err(Failure::LimitExceeded(format!(
                "its content decompresses to more than {} MiB",
                self.limits.decompressed_bytes >> 20
            )));
        }
        Ok(())
    }

    pub(crate) fn operator(&mut self) -> Result<(), Failure> {
        self.page_operators += 1;
        self.operators += 1;
        if self.page_operators > self.limits.page_operators || self.operators > self.limits.operators {
            return Err(Failure::LimitExceeded(format!(
                "more than {} drawing operators on a page or {} in all",
                self.limits.page_operators, self.limits.operators
            )));
        }
        Ok(())
    }

    pub(crate) fn glyph(&mut self) -> Result<(), Failure> {
        self.page_glyphs += 1;
        self.glyphs += 1;
        if self.page_glyphs > self.limits.page_glyphs || self.glyphs > self.limits.glyphs {
            return Err(Failure::LimitExceeded(format!(
                "more than {} characters on a page or {} in all",
                self.limits.page_glyphs, self.limits.glyphs
            )));
        }
        Ok(())
    }

    /// Whether another form may be drawn on this page; past the bound the rest is an error, since
    /// forms that draw forms double the work at each level.
    pub(crate) fn form(&mut self) -> Result<(), Failure> {
        self.page_forms += 1;
        if self.page_forms > self.limits.page_forms {
            return Err(Failure::LimitExceeded(format!(
                "more than {} nested drawings on a page",
                self.limits.page_forms
            )));
        }
        Ok(())
    }
}
