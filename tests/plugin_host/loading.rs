//! Loading of components, and the tools of authors.

use super::*;

fn with_manifest(component: &[u8], edit: impl FnOnce(&mut Manifest)) -> Vec<u8> {
    let mut manifest = Manifest::of_component(component).unwrap();
    edit(&mut manifest);
    let mut component = component.to_vec();
    manifest.embed(&mut component).unwrap();
    component
}

#[test]
fn what_is_no_plugin_is_refused_in_words() {
    let host = host();
    let check = |bytes: &[u8], message: &str| {
        let error = host.load(bytes).unwrap_err();
        assert!(matches!(error.reason, Reason::Refused(_)), "{error}");
        assert!(error.to_string().contains(message), "{error}");
    };
    let chunker = &GUESTS[0];
    check(b"", "not a WebAssembly component");
    check(b"%PDF-1.7 garbage", "not a WebAssembly component");
    check(b"\0asm\x01\0\0\0", "it is a core module");
    check(b"\0asm\x0d\0\x01\0", "has no manifest");
    check(&chunker[..chunker.len() / 2], "not a WebAssembly component");
    let swapped = with_manifest(&GUESTS[2], |manifest| manifest.kind = Kind::Chunker);
    check(
        &swapped,
        "plugin hostile-analyzer@1.0.0 (chunker) cannot be used: its manifest declares it as a chunker, but it exports the interface of an analyzer",
    );
    let manifest = Manifest::of_component(chunker).unwrap();
    let mut empty = b"\0asm\x0d\0\x01\0".to_vec();
    manifest.embed(&mut empty).unwrap();
    check(&empty, "it exports no interface that this server knows");
    // Damage that the sections' headers do not show. Whatever it hits, loading must not panic.
    let host = Host::new(HostSettings {
        max_answers: 1,
        ..HostSettings::default()
    })
    .unwrap();
    for at in (0..chunker.len()).step_by(4_001) {
        let mut damaged = chunker.clone();
        damaged[at] ^= 0x55;
        let _ = host.load(&damaged);
    }
}

#[test]
fn a_component_that_wants_more_than_it_may_is_refused() {
    let out = tempfile::tempdir().unwrap();
    let error = build(&["outsider"], out.path()).unwrap_err();
    assert_eq!(error.code(), "NOT_A_PLUGIN");
    assert!(error.to_string().contains("needs wasi:cli/environment@0.2.0"), "{error}");
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0, "nothing is left behind");

    // Somebody else's tools make it a component all the same.
    let module = fs::read(wasm_target().join("wasm32-unknown-unknown/release/hostile_outsider.wasm")).unwrap();
    let mut component = wit_component::ComponentEncoder::default()
        .module(&module)
        .unwrap()
        .encode()
        .unwrap();
    Manifest::of_component(&GUESTS[0]).unwrap().embed(&mut component).unwrap();
    let error = host().load(&component).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("cannot be used: it needs wasi:cli/environment@0.2.0, but plugins get no files"),
        "{error}"
    );
}

#[test]
fn source_that_does_not_compile_or_does_not_exist_is_an_error() {
    let out = tempfile::tempdir().unwrap();
    let error = build(&["nowhere"], out.path()).unwrap_err();
    assert_eq!(error.code(), "IO");
    assert!(error.to_string().contains("nowhere/plugin.toml"), "{error}");

    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("src")).unwrap();
    fs::write(
        source.path().join("plugin.toml"),
        "name = 'broken'\nversion = '1.0.0'\nkind = 'chunker'",
    )
    .unwrap();
    fs::write(
        source.path().join("Cargo.toml"),
        "[package]\nname = 'broken'\nedition = '2024'\n[lib]\ncrate-type = ['cdylib']",
    )
    .unwrap();
    fs::write(source.path().join("src/lib.rs"), "this is no Rust").unwrap();
    let build = || {
        let options = BuildOptions {
            out: out.path().to_owned(),
            target_dir: Some(source.path().join("target")),
            install: true,
            report: &|_| {},
        };
        author::build(&[source.path().to_owned()], &options).unwrap_err()
    };
    let error = build();
    assert_eq!(error.code(), "COMPILE_FAILED");
    assert!(error.to_string().contains("error: expected one of"), "{error}");
    fs::write(source.path().join("src/lib.rs"), "#[unsafe(no_mangle)] pub extern \"C\" fn f() {}").unwrap();
    assert_eq!(build().code(), "NOT_A_PLUGIN");
    fs::write(source.path().join("Cargo.toml"), "[package]\nname = 'broken'\nedition = '2024'").unwrap();
    assert_eq!(build().code(), "NO_MODULE");
}

#[tokio::test]
async fn a_call_to_the_wrong_kind_or_with_a_wrong_configuration_is_refused() {
    let _shared = PROCESS.read().await;
    let host = host();
    let plugin = host.load(&GUESTS[0]).unwrap();
    let budget = Budget::of(Kind::Analyzer);
    let error = host.analyze(&plugin, "{}", "who?", &vec![], &budget).await.unwrap_err();
    expect_reason(&error, Kind::Chunker, "refused", "it was asked to be an analyzer");
    for config in ["", "[]", "{", "null"] {
        let error = host
            .chunk(&plugin, config, &document(), whole(), Provided::tokens(Arc::new(Words)), &budget)
            .await
            .unwrap_err();
        expect_reason(&error, Kind::Chunker, "config", "cannot take its configuration");
    }
    let error = host
        .chunk(
            &plugin,
            "{}",
            &document(),
            Span::new(0, 2),
            Provided::tokens(Arc::new(Words)),
            &budget,
        )
        .await
        .unwrap_err();
    expect_reason(&error, Kind::Chunker, "host", "cuts the character");
}

#[tokio::test]
async fn compiled_code_is_kept_and_damage_to_it_is_noticed() {
    let _shared = PROCESS.read().await;
    let dir = tempfile::tempdir().unwrap();
    let cache_dir = dir.path().join("deep/cache");
    let start = || {
        Host::new(HostSettings {
            cache_dir: Some(cache_dir.clone()),
            max_answers: 1,
            ..HostSettings::default()
        })
        .unwrap()
    };
    let entries = || -> Vec<PathBuf> { fs::read_dir(&cache_dir).unwrap().map(|entry| entry.unwrap().path()).collect() };
    start().load(&GUESTS[0]).unwrap();
    let [entry] = &entries()[..] else { panic!("{:?}", entries()) };
    let whole = fs::read(entry).unwrap();
    for damage in [whole.clone(), vec![], whole[..whole.len() / 2].to_vec(), vec![0; whole.len()]] {
        fs::write(entry, &damage).unwrap();
        let host = start();
        let plugin = host.load(&GUESTS[0]).unwrap();
        chunk(&host, &plugin, "", &Budget::of(Kind::Chunker)).await.unwrap();
        assert_eq!(entries().len(), 1);
        assert_eq!(fs::read(entry).unwrap().len(), whole.len());
    }
    // Another engine's code is another entry.
    let metered = HostSettings {
        cache_dir: Some(cache_dir.clone()),
        meter_fuel: true,
        max_answers: 1,
        ..HostSettings::default()
    };
    Host::new(metered).unwrap().load(&GUESTS[0]).unwrap();
    assert_eq!(entries().len(), 2);
}

#[test]
fn plugins_are_found_by_version_digest_and_media_type() {
    let host = host();
    let registry = Registry::new();
    let version = |text: &str| with_manifest(&GUESTS[0], |manifest| manifest.version = text.parse().unwrap());
    let mut digests = Vec::new();
    for text in ["1.0.0", "1.10.0", "1.9.0", "2.0.0"] {
        let plugin = host.load(&version(text)).unwrap();
        digests.push(plugin.digest().to_owned());
        registry.insert(plugin);
    }
    let find = |wanted: &str| {
        registry
            .resolve(Kind::Chunker, wanted)
            .map(|plugin| plugin.manifest().version.to_string())
    };
    assert_eq!(find("hostile-chunker").unwrap(), "2.0.0");
    assert_eq!(find("hostile-chunker@^1").unwrap(), "1.10.0");
    assert_eq!(find("hostile-chunker@=1.9.0").unwrap(), "1.9.0");
    assert_eq!(find(&format!("hostile-chunker@{}", digests[0])).unwrap(), "1.0.0");
    let fails = |kind: Kind, wanted: &str, message: &str| {
        let error = registry.resolve(kind, wanted).unwrap_err();
        assert_eq!(error.reason.name(), "not_found");
        assert!(error.to_string().contains(message), "{error}");
    };
    fails(
        Kind::Chunker,
        "other",
        "there is no chunker `other` here; installed: hostile-chunker",
    );
    fails(Kind::Analyzer, "other", "installed: none");
    fails(Kind::Analyzer, "hostile-chunker", "there is 2.0.0 (chunker");
    fails(Kind::Chunker, "hostile-chunker@^3", "of `hostile-chunker` there is 2.0.0");
    fails(Kind::Chunker, "hostile-chunker@newest", "neither versions nor a sha256 digest");
    assert_eq!(registry.list().len(), 4);

    for (name, media_types) in [("any", vec!["text/*"]), ("md", vec!["text/markdown", "text/x-markdown"])] {
        let bytes = with_manifest(&GUESTS[1], |manifest| {
            manifest.name = name.into();
            manifest.media_types = media_types.into_iter().map(str::to_owned).collect();
        });
        registry.insert(host.load(&bytes).unwrap());
    }
    let extractor = |media_type: &str| registry.extractor_for(media_type).map(|plugin| plugin.manifest().name.clone());
    assert_eq!(extractor("text/markdown").as_deref(), Some("md"));
    assert_eq!(extractor("Text/Markdown; charset=utf-8").as_deref(), Some("md"));
    assert_eq!(extractor("text/html").as_deref(), Some("any"));
    assert_eq!(extractor("application/pdf"), None);
    assert_eq!(extractor(""), None);
}

#[test]
fn one_bad_file_in_a_directory_does_not_keep_the_others_out() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("a.wasm", &GUESTS[0][..]),
        ("b.wasm", b"garbage"),
        ("c.wasm", &GUESTS[1]),
        (".d.wasm", b"garbage"),
        ("e.txt", b"text"),
    ] {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let (host, registry) = (host(), Registry::new());
    let failures = registry.load_dir(&host, dir.path()).unwrap();
    let failed: Vec<_> = failures.iter().map(|failure| failure.path.file_name().unwrap()).collect();
    assert_eq!(failed, ["b.wasm"]);
    assert_eq!(registry.list().len(), 2);
    assert!(registry.load_dir(&host, &dir.path().join("nowhere")).is_err());
}

#[tokio::test]
async fn a_check_finds_what_is_wrong_and_nothing_where_all_is_well() {
    let _shared = PROCESS.read().await;
    let host = host();
    let good = author::check(&host, &GUESTS[2]).await.unwrap();
    assert!(good.is_good() && good.findings.len() > 5 && good.peak_memory_bytes > 0, "{good:?}");
    let choosy = with_manifest(&GUESTS[0], |manifest| {
        manifest.config_schema = serde_json::json!({ "type": "object", "required": ["do"] });
    });
    let report = author::check(&host, &choosy).await.unwrap();
    let failed: Vec<&str> = report
        .findings
        .iter()
        .filter(|finding| !finding.good)
        .map(|finding| finding.name.as_str())
        .collect();
    assert_eq!(failed, ["empty configuration", "empty"], "a chunk of nothing is none: {report:?}");
    let rubbish = author::check(&host, b"rubbish").await.unwrap();
    assert!(!rubbish.is_good() && rubbish.findings.len() == 1, "{rubbish:?}");
}
