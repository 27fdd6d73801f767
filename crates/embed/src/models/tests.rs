//! Models are loaded once, and unloaded when they are unused.

use std::fs;

use super::{
    super::{
        convert::{self, Options, tests::Tiny},
        model::MODEL_FILE,
        tests::{runtime, share},
    },
    *,
};

const DEFAULT: &str = "all-MiniLM-L6-v2";

/// Models `one`, `two` and `three`, beside a copy of the description of the default one.
fn models(most: usize) -> (tempfile::TempDir, Models) {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["one", "two", "three"] {
        install(directory.path(), name);
    }
    let default = share().join("models").join(DEFAULT);
    let settings = ModelsSettings {
        most,
        unload_after: Duration::from_secs(60),
        embedder: EmbedderSettings {
            threads: 1,
            ..EmbedderSettings::default()
        },
    };
    let models = Models::open(runtime(), directory.path(), &default.to_string_lossy(), settings).expect("run `make setup` first");
    (directory, models)
}

fn install(directory: &Path, name: &str) {
    convert::convert(Tiny::new("").path(), &directory.join(name), &Options::default()).expect("a model");
}

fn names(models: &Models) -> Vec<String> {
    models.loaded().into_iter().map(|(name, _)| name).collect()
}

async fn load(models: &Models, name: &str) -> Result<Embedder, EmbedError> {
    models.find(name, None).expect("installed").embedder().await
}

#[tokio::test]
async fn concurrent_requests_share_one_load() {
    let (_directory, models) = models(2);
    assert_eq!(names(&models), [DEFAULT]);
    let asked = (0..8).map(|_| load(&models, "one"));
    let got: Vec<Embedder> = futures_util::future::try_join_all(asked).await.expect("a model");
    assert!(got.iter().all(|embedder| embedder.is_same(&got[0])));
    assert_eq!(names(&models), [DEFAULT, "one"]);
    // The same request in other words.
    let found = models.find("one", Some(Precision::Fp32)).expect("installed");
    assert!(found.embedder().await.expect("a model").is_same(&got[0]));
    assert_eq!(got[0].embed_query("a b").await.expect("a vector").len(), 8);
    let texts = models.stats().texts;
    assert_eq!(texts, 1, "the totals are of all models");
}

#[tokio::test]
async fn what_is_unused_for_long_is_unloaded_and_comes_back_when_it_is_asked_for() {
    let (_directory, models) = models(3);
    let held = load(&models, "one").await.expect("a model");
    load(&models, "two").await.expect("a model");
    let now = Instant::now();
    assert!(models.unload_unused(now + Duration::from_secs(30)).is_empty());
    assert_eq!(models.unload_unused(now + Duration::from_secs(61)), ["two"]);
    assert_eq!(names(&models), [DEFAULT, "one"], "what somebody holds stays");
    drop(held);
    assert!(
        models.unload_unused(now + Duration::from_secs(120)).is_empty(),
        "it was seen in use a minute ago"
    );
    assert_eq!(models.unload_unused(now + Duration::from_secs(122)), ["one"]);
    let again = load(&models, "one").await.expect("a model");
    assert_eq!(again.embed_query("a").await.expect("a vector").len(), 8);
    // The totals do not decrease when a model is unloaded.
    assert_eq!(models.stats().texts, 1);
}

#[tokio::test]
async fn no_more_models_are_loaded_than_may_be() {
    let (_directory, models) = models(3);
    let one = load(&models, "one").await.expect("a model");
    let two = load(&models, "two").await.expect("a model");
    let error = load(&models, "three").await.expect_err("two others are in use");
    assert!(matches!(error, EmbedError::TooManyModels { most: 3 }), "{error}");
    assert!(error.recoverable() && error.to_string().contains("embedder.max_models"), "{error}");
    drop((one, two));
    load(&models, "two").await.expect("a model");
    load(&models, "three").await.expect("a model");
    assert_eq!(names(&models), [DEFAULT, "three", "two"], "the one used longest ago has gone");
}

#[tokio::test]
async fn what_is_not_there_is_unknown_and_what_was_exchanged_is_noticed() {
    let (directory, models) = models(3);
    for name in ["four", "..", "one/../two", "/etc", "a\0b"] {
        let error = models.find(name, None).err().expect("no such model");
        assert!(matches!(error, EmbedError::ModelUnknown { .. }), "{name}: {error}");
    }
    let found = models.find("one", None).expect("installed");
    fs::write(directory.path().join("one").join(MODEL_FILE), "damaged").expect("written");
    let error = found.embedder().await.expect_err("a damaged model");
    assert!(matches!(error, EmbedError::ModelInvalid { .. }), "{error}");
    assert_eq!(names(&models), [DEFAULT], "what failed takes no place");
    let mut other = Tiny::new("");
    other.set_weight("embeddings.LayerNorm.bias", 0.5);
    convert::convert(other.path(), &directory.path().join("one"), &Options::default()).expect("a model");
    let error = found.embedder().await.expect_err("other weights");
    assert!(matches!(error, EmbedError::ModelChanged { .. }), "{error}");
    let held = load(&models, "one").await.expect("who finds it now gets what is there");
    other.set_weight("embeddings.LayerNorm.bias", 0.25);
    convert::convert(other.path(), &directory.path().join("one"), &Options::default()).expect("a model");
    let new = load(&models, "one").await.expect("also while another one of its name is in use");
    assert!(!new.is_same(&held));
}

#[tokio::test]
async fn rerankers_are_loaded_as_they_are_used_and_are_no_embedding_models() {
    let (directory, models) = models(3);
    convert::convert(Tiny::reranker("bert").path(), &directory.path().join("judge"), &Options::default()).expect("a model");
    let told = |error: Option<EmbedError>| error.expect("refused").to_string();
    let error = told(models.find("judge", None).err());
    assert!(
        error.contains("`judge` is a reranker, not an embedding model") && error.contains("ibid model list"),
        "{error}"
    );
    for name in ["one", DEFAULT] {
        let error = told(models.find_reranker(name, None).err());
        assert!(
            error.contains(&format!("`{name}` is an embedding model, not a reranker")),
            "{error}"
        );
    }
    let error = told(models.find_reranker("../one", None).err());
    assert!(
        error.contains("no reranker `../one`") && error.contains("ibid model pull"),
        "{error}"
    );

    let judge = models.find_reranker("judge", None).expect("installed");
    assert_eq!(names(&models), [DEFAULT], "nothing is loaded before it is used");
    let passages: Vec<String> = ["b", "c d", "d"].map(str::to_owned).to_vec();
    let scores = judge.score("a", passages.clone()).await.expect("scores");
    assert!(
        scores.len() == 3 && scores.iter().all(|score| (0.0..=1.0).contains(score)),
        "{scores:?}"
    );
    assert_eq!(judge.score("a", passages).await.expect("scores"), scores);
    assert!(judge.score("a", Vec::new()).await.expect("nothing").is_empty());
    assert_eq!((models.reranker_stats().texts, models.stats().texts), (6, 0), "pairs are no texts");
    assert_eq!(names(&models), [DEFAULT, "judge"]);
    assert_eq!(models.unload_unused(Instant::now() + Duration::from_secs(61)), ["judge"]);
    assert_eq!(models.reranker_stats().texts, 6, "the totals do not go back");
}

#[tokio::test]
async fn installed_models_are_listed_with_what_is_loaded() {
    let (directory, models) = models(2);
    fs::create_dir(directory.path().join("no-model")).expect("a directory");
    let _held = models
        .find("two", Some(Precision::Int8))
        .expect("installed")
        .embedder()
        .await
        .expect("a model");
    let listed = models.installed();
    let told: Vec<(&str, bool, &[Precision])> = listed
        .iter()
        .map(|model| (model.info.name.as_str(), model.default, model.loaded.as_slice()))
        .collect();
    let fp32: &[Precision] = &[models.default_embedder().placement().precision];
    let expected: [(&str, bool, &[Precision]); 4] = [
        (DEFAULT, true, fp32),
        ("one", false, &[]),
        ("three", false, &[]),
        ("two", false, &[Precision::Int8]),
    ];
    assert_eq!(told, expected);
    assert!(listed.iter().all(|model| model.bytes > 0));
    models.close().await;
    assert!(matches!(load(&models, "one").await, Err(EmbedError::Closed)));
}
