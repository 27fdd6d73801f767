//! The steps that ingest and re-index share: extracting a document's text, cutting it into chunks, embedding and indexing a window of
//! chunks.

use crate::error::PipelineError;
use crate::ingest::reporter::missing_text;
use crate::query::passages::page_break;
use crate::spec::LockedPlugin;
use crate::spec::Pipeline;
use crate::spec::chunker_imports::chunker_imports;
use crate::spec::pipelines::{Pipelines, Stage, locked};
use crate::spec::policy::Rescue;
use crate::store::Store;
use ibid_catalog::{Chunk, DocumentRecord};
use ibid_embed::Embedder;
use ibid_plugin_host::{Blob, FileBlob, Piece};
use ibid_protocol::{ApiError, ErrorCode, Warning};
use ibid_types::document::{CodePoints, Document, Sections, Span};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The steps of a pipeline, over the durable state.
pub(crate) struct Steps {
    pub store: Arc<Store>,
    pub pipelines: Arc<Pipelines>,
}

impl Steps {
    /// Extracts a document's text, by the extractor that a pipeline has for it; `progress` is told from 0 to 1.
    pub(crate) async fn read_original(
        &self,
        document: &DocumentRecord,
        pipeline: &Pipeline,
        progress: impl Fn(f64) + Clone + Send + Sync + 'static,
    ) -> Result<Original, PipelineError> {
        let stage = self.pipelines.extractor(pipeline, &document.content_type)?;
        let source: Arc<dyn Blob> = Arc::new(FileBlob::new(self.store.files.open(&document.sha256).await?).map_err(unreadable)?);
        let read = async |stage: &Stage| {
            let progress = progress.clone();
            self.pipelines
                .host
                .extract(&stage.plugin, &stage.config, source.clone(), &stage.budget, move |done| {
                    progress(f64::from(done))
                })
                .await
        };
        let (mut extracted, extractor, warning) = match read(&stage).await {
            Ok(extracted) => (extracted, &stage, None),
            Err(error) => match stage.rescue("extractors", error)? {
                (Rescue::Fallback(stage), warning) => (read(stage).await?, stage, Some(warning)),
                // A pipeline that would skip the extractor is not admitted.
                (Rescue::Skip, warning) => return Err(ApiError::new(ErrorCode::PluginError, warning.message).into()),
            },
        };
        let extractor = locked(&extractor.plugin);
        extracted
            .attrs
            .push(("extractor".to_owned(), format!("{}@{}", extractor.name, extractor.version)));
        extracted
            .attrs
            .extend(warning.map(|warning| ("warning.extractor".to_owned(), warning.message)));
        let metadata = extracted.metadata();
        let missing = missing_text(&metadata);
        if extracted.text.trim().is_empty() && missing.is_none() {
            return Err(ApiError::new(ErrorCode::ProcessingError, format!("`{}` holds no text", document.filename)).into());
        }
        Ok(Original {
            metadata,
            pages: u32::try_from(extracted.pages.len()).unwrap_or(u32::MAX),
            text_chars: extracted.text.chars().count() as u64,
            document: extracted,
            extractor,
            missing,
        })
    }

    /// Cuts a document's text into chunks; tells where the chunker's fallback did it.
    pub(crate) async fn cut(
        &self,
        record: &DocumentRecord,
        text: &str,
        stage: &Stage,
        embedder: &Embedder,
    ) -> Result<(Vec<Chunk>, Option<Warning>), PipelineError> {
        let mut document = self.store.files.read_document(text).await?;
        // What a chunker may want to know of the file, beside what the file says of itself.
        document.attrs.push(("filename".to_owned(), record.filename.clone()));
        document.attrs.push(("media-type".to_owned(), record.content_type.clone()));
        let document = Arc::new(document);
        let whole = Span::new(0, u32::try_from(document.text.len()).unwrap_or(u32::MAX));
        let cut = async |stage: &Stage| {
            self.pipelines
                .host
                .chunk(
                    &stage.plugin,
                    &stage.config,
                    &document,
                    whole,
                    chunker_imports(stage, embedder),
                    &stage.budget,
                )
                .await
        };
        let (pieces, warning) = match cut(stage).await {
            Ok(pieces) => (pieces, None),
            Err(error) => match stage.rescue("chunker", error)? {
                (Rescue::Fallback(stage), warning) => (cut(stage).await?, Some(warning)),
                // A pipeline that would skip the chunker is not admitted.
                (Rescue::Skip, warning) => return Err(ApiError::new(ErrorCode::PluginError, warning.message).into()),
            },
        };
        let chunks = tokio::task::spawn_blocking(move || locate(&document, pieces)).await?;
        Ok((chunks, warning))
    }

    /// What is indexed of each chunk: its context, then the chunk.
    pub(crate) async fn texts_to_embed(&self, text: &str, chunks: &[Chunk]) -> Result<Vec<String>, PipelineError> {
        let spans: Vec<Span> = chunks
            .iter()
            .flat_map(|chunk| chunk.context.iter().copied().chain([chunk.at]))
            .collect();
        let mut parts = self.store.files.read_spans(text, &spans).await?.into_iter();
        Ok(chunks
            .iter()
            .map(|chunk| {
                let parts: Vec<String> = parts.by_ref().take(chunk.context.len() + 1).collect();
                parts.iter().map(|part| part.trim()).collect::<Vec<_>>().join("\n")
            })
            .collect())
    }
}

/// What was extracted of a document.
pub(crate) struct Original {
    /// Text and structure.
    pub document: Document,
    /// From the file.
    pub metadata: BTreeMap<String, String>,
    /// Number of pages.
    pub pages: u32,
    /// Code points of the text.
    pub text_chars: u64,
    /// What extracted it.
    pub extractor: LockedPlugin,
    /// Why there is little text, if that is known.
    pub missing: Option<String>,
}

fn unreadable(error: std::io::Error) -> PipelineError {
    tracing::error!(%error, "a stored file cannot be read");
    ApiError::new(ErrorCode::InternalError, "the stored file cannot be read").into()
}

/// The chunks as the catalog and the API have them: with code points, pages and headings.
fn locate(document: &Document, pieces: Vec<Piece>) -> Vec<Chunk> {
    let mut starts = CodePoints::new(&document.text);
    let mut sections = Sections::new(document);
    pieces
        .into_iter()
        .zip(0..)
        .map(|(piece, index)| {
            let char_start = starts.before(piece.at.start);
            let length = piece.at.of(&document.text).map_or(0, |text| text.chars().count() as u64);
            let first = document.pages.partition_point(|page| page.at.start <= piece.at.start);
            let breaks = document.pages.iter().skip(first).take_while(|page| page.at.start < piece.at.end);
            let mut attrs = piece.attrs;
            attrs.extend(breaks.map(|page| page_break(page.number, page.at.start)));
            Chunk {
                index,
                at: piece.at,
                char_start,
                char_end: char_start + length,
                page: document.page_at(piece.at.start).map(|page| page.number),
                section: sections.at(piece.at.start),
                context: piece.context,
                attrs,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ibid_types::document::{Page, Unit};

    #[test]
    fn chunks_are_located_in_code_points_with_page_and_section() {
        let text = "Ä title\nFirst page.\nSecond page.";
        let second = text.find("Second").unwrap() as u32;
        let end = text.len() as u32;
        let document = Document {
            text: text.to_owned(),
            units: vec![Unit {
                at: Span::new(0, 8),
                kind: "heading".into(),
                level: 1,
                title: None,
            }],
            pages: vec![
                Page {
                    at: Span::new(0, second),
                    number: 1,
                    label: None,
                },
                Page {
                    at: Span::new(second, end),
                    number: 2,
                    label: None,
                },
            ],
            attrs: Vec::new(),
        };
        let piece = |start, end| Piece {
            at: Span::new(start, end),
            context: Vec::new(),
            attrs: Vec::new(),
        };
        let chunks = locate(&document, vec![piece(9, second - 1), piece(9, end), piece(second, end)]);
        assert_eq!((chunks[0].char_start, chunks[0].char_end, chunks[0].page), (8, 19, Some(1)));
        assert_eq!(chunks[0].section, ["Ä title"]);
        assert_eq!(chunks[1].attrs, [page_break(2, second)]);
        assert_eq!((chunks[2].char_start, chunks[2].char_end, chunks[2].page), (20, 32, Some(2)));
    }
}
