//! What happens when a stage's plugin fails: the pipeline's `on_failure`.

use crate::spec::OnFailure;
use crate::spec::pipelines::Stage;
use ibid_plugin_host::{Formatter, Host, PluginError, Reason, Source};
use ibid_protocol::Warning;
use std::time::{Duration, Instant};

/// How to go on after a failure.
pub enum Rescue<'a> {
    /// With the plugin that ships for this stage.
    Fallback(&'a Stage),
    /// Without the stage.
    Skip,
}

/// What a pipeline says about a failure of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailurePolicy {
    /// What to do.
    pub on_failure: OnFailure,
    /// Whether there is a plugin to fall back to.
    pub has_fallback: bool,
}

/// What replaces a stage that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The plugin that ships for this stage.
    Fallback,
    /// Nothing.
    Skip,
}

impl FailurePolicy {
    /// Returns how to go on after `error`, and the warning for the client. `key` is the stage's in the pipeline.
    ///
    /// # Errors
    /// The error itself, where the policy is to fail, or where another plugin could do no better: the server was at
    /// its limit, or could not do its own part.
    pub fn apply(self, key: &'static str, error: PluginError) -> Result<(Remedy, Warning), PluginError> {
        let is_the_servers = matches!(
            error.reason,
            Reason::Busy(_) | Reason::Host(_) | Reason::NotFound(_) | Reason::Config(_)
        );
        let remedy = match (self.on_failure, self.has_fallback) {
            _ if is_the_servers => return Err(error),
            (OnFailure::Fallback, true) => Remedy::Fallback,
            (OnFailure::Skip, _) => Remedy::Skip,
            _ => return Err(error),
        };
        let policy = self.on_failure.name();
        tracing::warn!(stage = key, policy, %error, "a plugin failed, its stage goes on");
        let warning = Warning {
            stage: key.to_owned(),
            plugin: error
                .plugin
                .as_ref()
                .map(|plugin| format!("{}@{}", plugin.name, plugin.version))
                .unwrap_or_default(),
            code: error.code().name().to_owned(),
            reason: error.reason.name().to_owned(),
            message: error.to_string(),
            policy: policy.to_owned(),
        };
        Ok((remedy, warning))
    }
}

impl Stage {
    /// Returns what the pipeline says about a failure of this stage.
    pub fn failure_policy(&self) -> FailurePolicy {
        FailurePolicy {
            on_failure: self.on_failure,
            has_fallback: self.fallback.is_some(),
        }
    }

    /// Returns how to go on after `error`, and the warning for the client. `key` is the stage's in the pipeline.
    ///
    /// # Errors
    /// As [`FailurePolicy::apply`].
    pub fn rescue(&self, key: &'static str, error: PluginError) -> Result<(Rescue<'_>, Warning), PluginError> {
        let (remedy, warning) = self.failure_policy().apply(key, error)?;
        let rescue = match (remedy, self.fallback.as_deref()) {
            (Remedy::Fallback, Some(stage)) => Rescue::Fallback(stage),
            (Remedy::Fallback | Remedy::Skip, _) => Rescue::Skip,
        };
        Ok((rescue, warning))
    }
}

/// What is asked of a formatter.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Mark(&'a [Source]),
    Entry(&'a Source),
    Finish(&'a [Source]),
}

impl Wanted<'_> {
    async fn of(self, formatter: &mut Formatter) -> Result<String, PluginError> {
        match self {
            Self::Mark(cited) => formatter.mark(cited).await,
            Self::Entry(cited) => formatter.entry(cited).await,
            Self::Finish(cited) => formatter.finish(cited).await,
        }
    }
}

/// The citation formatter of one answer, and what follows it when it fails.
pub struct Citing {
    host: Host,
    stage: Stage,
    /// `None` once the stage is skipped.
    formatter: Option<Formatter>,
    warnings: Vec<Warning>,
    took: Duration,
}

impl Citing {
    /// Starts the formatter of a pipeline.
    ///
    /// # Errors
    /// As [`Host::formatter`], where the policy does not help.
    pub async fn start(host: &Host, stage: &Stage) -> Result<Self, PluginError> {
        let mut citing = Self {
            host: host.clone(),
            stage: stage.clone(),
            formatter: None,
            warnings: Vec::new(),
            took: Duration::ZERO,
        };
        let begun = Instant::now();
        match host.formatter(&stage.plugin, &stage.config, &stage.budget).await {
            Ok(formatter) => citing.formatter = Some(formatter),
            Err(error) => citing.replace(error).await?,
        }
        citing.took += begun.elapsed();
        Ok(citing)
    }

    /// As [`Formatter::mark`]; empty where the stage is skipped.
    ///
    /// # Errors
    /// As [`Formatter::mark`], where the policy does not help.
    pub async fn mark(&mut self, cited: &[Source]) -> Result<String, PluginError> {
        self.ask(Wanted::Mark(cited)).await
    }

    /// As [`Formatter::entry`]; empty where the stage is skipped.
    ///
    /// # Errors
    /// As [`Formatter::entry`], where the policy does not help.
    pub async fn entry(&mut self, cited: &Source) -> Result<String, PluginError> {
        self.ask(Wanted::Entry(cited)).await
    }

    /// As [`Formatter::finish`]; empty where the stage is skipped.
    ///
    /// # Errors
    /// As [`Formatter::finish`], where the policy does not help.
    pub async fn finish(&mut self, cited: &[Source]) -> Result<String, PluginError> {
        self.ask(Wanted::Finish(cited)).await
    }

    /// What had to be told of failures, and what the formatter took.
    pub fn finished(self) -> (Vec<Warning>, Duration) {
        (self.warnings, self.took)
    }

    async fn ask(&mut self, wanted: Wanted<'_>) -> Result<String, PluginError> {
        let begun = Instant::now();
        let text = self.ask_formatter(wanted).await;
        self.took += begun.elapsed();
        text
    }

    async fn ask_formatter(&mut self, wanted: Wanted<'_>) -> Result<String, PluginError> {
        let Some(formatter) = &mut self.formatter else {
            return Ok(String::new());
        };
        match wanted.of(formatter).await {
            Ok(text) => return Ok(text),
            Err(error) => self.replace(error).await?,
        }
        match &mut self.formatter {
            Some(formatter) => wanted.of(formatter).await,
            None => Ok(String::new()),
        }
    }

    /// Puts what the policy says in the place of a formatter that failed. What falls back once does not again.
    async fn replace(&mut self, error: PluginError) -> Result<(), PluginError> {
        let (rescue, warning) = self.stage.rescue("citations", error)?;
        let next = match rescue {
            Rescue::Skip => None,
            Rescue::Fallback(stage) => Some(stage.clone()),
        };
        self.warnings.push(warning);
        self.formatter = match &next {
            None => None,
            Some(stage) => Some(self.host.formatter(&stage.plugin, &stage.config, &stage.budget).await?),
        };
        if let Some(stage) = next {
            self.stage = stage;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
