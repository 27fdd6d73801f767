//! The settings of language models.

use ibid_settings::settings;
use ibid_types::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;

settings! {
    /// Language models that write answers: section `llm`.
    pub struct LlmSettings {
        keys {
            /// Base address of an OpenAI-compatible server (Ollama, vLLM, llama.cpp, hosted), such as "http://127.0.0.1:11434/v1". With
            /// llm.model it writes the answers of every pipeline that names no generator; empty: none.
            "llm.base_url" => base_url: Option<String> = None,
            /// The model that is asked where a pipeline names none.
            "llm.model" => model: Option<String> = None,
            /// Key for llm.base_url, sent there only; never shown. Better in IBID_LLM_API_KEY or llm.api_key_file than here.
            "llm.api_key" => api_key: Option<Secret> = None,
            /// A file whose content is the key, in place of llm.api_key.
            "llm.api_key_file" => api_key_file: Option<PathBuf> = None,
            /// A PEM file of certificates that https servers may be signed by, beside the system's.
            "llm.ca_file" => ca_file: Option<PathBuf> = None,
            /// Further servers that pipelines may name as base_url. They may name no other, since whoever makes a collection writes its
            /// pipeline.
            "llm.allowed_base_urls" => allowed_base_urls: Vec<String> = Vec::new(),
            /// The only models that pipelines may name, beside llm.model; an empty list lets all.
            "llm.allowed_models" => allowed_models: Vec<String> = Vec::new(),
            /// Longest answer, in tokens of the model. One that is cut says so.
            "llm.max_answer_tokens" [range(16, 1_000_000)] => max_answer_tokens: u32 = 1_024,
            /// Characters of passages that are put into the prompt, about four for each token.
            "llm.context_chars" [range(500, 10_000_000)] => context_chars: usize = 12_000,
            /// Seconds to reach the server.
            "llm.connect_timeout_seconds" [range(1, 600)] => connect_timeout: Duration = Duration::from_secs(5),
            /// Seconds until the first token, retries included. Less than query.timeout_seconds, which ends the query.
            "llm.first_token_timeout_seconds" [range(1, 3600)] => first_token_timeout: Duration = Duration::from_secs(40),
            /// Seconds between two tokens.
            "llm.idle_timeout_seconds" [range(1, 3600)] => idle_timeout: Duration = Duration::from_secs(20),
            /// Seconds that a whole answer may take, not counting the time for which its reader holds it.
            "llm.answer_timeout_seconds" [range(1, 86_400)] => answer_timeout: Duration = Duration::from_secs(300),
            /// Times that a request is sent again before the first token, with growing pauses: when the server refuses connections, fails
            /// (5xx) or is busy (429).
            "llm.retries" [range(0, 10)] => retries: u32 = 2,
        }
        secrets { "llm.api_key" => api_key or api_key_file }
    }
}
