//! Tries a plugin on a text, outside of any collection: what an author or an operator looks at before a pipeline names it.
//!
//! Nothing is stored. The plugin runs in the same sandbox, with the budget that its kind has by default.

use crate::error::PipelineError;
use crate::manage::plugins::no_plugin;
use crate::query::analyze::planned;
use crate::query::permits::QueryPermits;
use crate::query::plan::analysis;
use crate::query::stage_timeout::StageTimeout;
use crate::spec::Pipeline;
use crate::spec::checks::check_config;
use crate::spec::chunker_imports::chunker_imports;
use crate::spec::pipelines::{Pipelines, Stage};
use ibid_plugin_host::{Blob, Kind, Source};
use ibid_protocol::{ApiError, CharSpan, TriedChunk, TriedUnit, TryPlugin, TryResult};
use ibid_types::document::{Attrs, CodePoints, Document, Span};
use std::sync::Arc;
use std::time::Instant;

/// How a pasted text is read for a chunker: headings, lists and tables are told apart, and it stays as it is.
const READ_AS: &str = "text/markdown";

/// Tries plugins.
pub(crate) struct PluginTrials {
    pub pipelines: Arc<Pipelines>,
    pub permits: Arc<QueryPermits>,
    pub timeout: StageTimeout,
}

impl PluginTrials {
    /// Runs a plugin over a text: a chunker or an extractor over it as a document, an analyzer over it as a question, a formatter over
    /// each of its lines as a statement that cites itself.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND` if it is not installed; a value that is wrong, by its key; and what the plugin fails with.
    pub async fn try_plugin(&self, name: &str, request: TryPlugin) -> Result<TryResult, ApiError> {
        request.validate()?;
        let wanted = request.version.as_deref();
        let plugins = self.pipelines.registry.list();
        let fits = |version: String| wanted.is_none_or(|wanted| wanted == version);
        // The newest version first.
        let plugin = plugins
            .into_iter()
            .find(|plugin| plugin.manifest().name == name && fits(plugin.manifest().version.to_string()))
            .ok_or_else(|| no_plugin(name))?;
        check_config(&plugin, "config", &request.config)?;
        let stage = Stage {
            config: request.config.to_string(),
            ..Stage::of(plugin, &Pipeline::default())
        };
        let _permit = self.permits.admit().await?;
        let start = Instant::now();
        let mut result = self
            .timeout
            .run(stage.plugin.kind().name(), self.run_trial(&stage, request.text))
            .await?;
        result.milliseconds = start.elapsed().as_secs_f64() * 1000.0;
        Ok(result)
    }

    async fn run_trial(&self, stage: &Stage, text: String) -> Result<TryResult, PipelineError> {
        let (plugin, host) = (&stage.plugin, &self.pipelines.host);
        let manifest = plugin.manifest();
        let mut result = TryResult {
            plugin: format!("{}@{}", manifest.name, manifest.version),
            kind: plugin.kind().name().to_owned(),
            ..TryResult::default()
        };
        match plugin.kind() {
            Kind::Extractor => {
                let document = self.read_pasted(stage, text).await?;
                result.units = Some(units(&document));
                result.text = document.text;
            }
            Kind::Chunker => {
                let embedder = self.pipelines.models.default_embedder();
                let reader = self.pipelines.extractor(&Pipeline::default(), READ_AS)?;
                let document = Arc::new(self.read_pasted(&reader, text).await?);
                let whole = Span::new(0, u32::try_from(document.text.len()).unwrap_or(u32::MAX));
                let pieces = host
                    .chunk(
                        plugin,
                        &stage.config,
                        &document,
                        whole,
                        chunker_imports(stage, embedder),
                        &stage.budget,
                    )
                    .await?;
                let texts: Vec<&str> = pieces.iter().map(|piece| piece.at.of(&document.text).unwrap_or_default()).collect();
                let tokens = texts
                    .iter()
                    .map(|text| u32::try_from(embedder.count_tokens(text)).unwrap_or(u32::MAX));
                let mut points = CodePoints::new(&document.text);
                let chunks = pieces.into_iter().zip(tokens).map(|(piece, tokens)| TriedChunk {
                    at: characters(&mut points, piece.at),
                    tokens,
                    context: piece.context.into_iter().map(|at| characters(&mut points, at)).collect(),
                    attrs: piece.attrs.into_iter().collect(),
                });
                result.chunks = Some(chunks.collect());
                result.text.clone_from(&document.text);
            }
            Kind::Analyzer => {
                let plan = host
                    .analyze(plugin, &stage.config, text.trim(), &Attrs::new(), &stage.budget)
                    .await?;
                result.query_analysis = Some(analysis(&plan));
                result.searches = Some(plan.searches.into_iter().map(planned).collect());
                result.text = text;
            }
            Kind::Formatter => {
                result.response = Some(self.format_lines(stage, &text).await?);
                result.text = text;
            }
        }
        Ok(result)
    }

    async fn read_pasted(&self, reader: &Stage, text: String) -> Result<Document, PipelineError> {
        let source: Arc<dyn Blob> = Arc::new(text.into_bytes());
        let read = self
            .pipelines
            .host
            .extract(&reader.plugin, &reader.config, source, &reader.budget, |_| {});
        Ok(read.await?)
    }

    /// The text as an answer whose lines each cite themselves: page 1, 2, ... of a document.
    async fn format_lines(&self, stage: &Stage, text: &str) -> Result<String, PipelineError> {
        let mut formatter = self.pipelines.host.formatter(&stage.plugin, &stage.config, &stage.budget).await?;
        let (mut response, mut cited) = (String::new(), Vec::new());
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let statement = line.trim_end();
            response.push_str(statement);
            if !statement.trim().is_empty() {
                let number = cited.len() as u32 + 1;
                let source = Source {
                    citation_id: number,
                    document_id: "document".to_owned(),
                    name: "document.pdf".to_owned(),
                    at: Span::new(start, start + statement.len() as u32),
                    page: Some(number),
                    section: vec!["A section".to_owned()],
                    attrs: vec![
                        ("author".to_owned(), "A. Author".to_owned()),
                        ("title".to_owned(), "A document".to_owned()),
                    ],
                };
                formatter.entry(&source).await?;
                response.push_str(&formatter.mark(std::slice::from_ref(&source)).await?);
                cited.push(source);
            }
            response.push_str(line.get(statement.len()..).unwrap_or_default());
            start += line.len() as u32;
        }
        response.push_str(&formatter.finish(&cited).await?);
        Ok(response)
    }
}

fn units(document: &Document) -> Vec<TriedUnit> {
    let mut points = CodePoints::new(&document.text);
    let units = document.units.iter().map(|unit| TriedUnit {
        at: characters(&mut points, unit.at),
        kind: unit.kind.clone(),
        level: unit.level,
    });
    units.collect()
}

fn characters(points: &mut CodePoints<'_>, at: Span) -> CharSpan {
    CharSpan {
        start: points.before(at.start),
        end: points.before(at.end),
    }
}
