//! Sources of keys: files that change, and key servers.

use super::*;

#[tokio::test]
async fn keys_that_cannot_be_valid_are_refused_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let (rsa, ec) = (Issuer::new(Algorithm::RS256), Issuer::new(Algorithm::ES256));
    for (algorithm, keys, wanted) in [
        (Algorithm::HS256, TokenKeys::Secret(Secret::new("short")), "at least 32 bytes"),
        (Algorithm::HS256, TokenKeys::SecretFile(path.join("none")), "auth.secret_file"),
        (
            Algorithm::ES256,
            TokenKeys::PublicKeyFile(file(path, "rsa.pem", &rsa.public)),
            "no public key for ES256",
        ),
        (
            Algorithm::ES384,
            TokenKeys::PublicKeyFile(file(path, "ec.pem", &ec.public)),
            "no public key for ES384",
        ),
        (
            Algorithm::RS256,
            TokenKeys::PublicKeyFile(file(path, "private.pem", &rsa.private)),
            "private key",
        ),
        (
            Algorithm::RS256,
            TokenKeys::PublicKeyFile(file(path, "no.pem", "hello")),
            "no public key",
        ),
        (
            Algorithm::RS256,
            TokenKeys::JwksFile(file(path, "no.json", "hello")),
            "not a JSON Web Key Set",
        ),
        (
            Algorithm::RS256,
            TokenKeys::JwksFile(file(path, "empty.json", "{\"keys\":[]}")),
            "none of its 0 keys",
        ),
    ] {
        let error = open(path, tokens(algorithm, keys)).await.expect_err(wanted).to_string();
        assert!(error.contains(wanted) && !error.contains("short,"), "{error}");
    }
}

#[tokio::test]
async fn a_key_set_in_a_file_is_read_again_when_it_changes() {
    let directory = tempfile::tempdir().expect("a directory");
    let (old, new) = (Issuer::new(Algorithm::ES256), Issuer::new(Algorithm::ES256));
    let set = |keys: &[Value]| json!({ "keys": keys }).to_string();
    let path = file(directory.path(), "jwks.json", set(&[old.jwk("old")]));
    let auth = open(directory.path(), tokens(Algorithm::ES256, TokenKeys::JwksFile(path.clone())))
        .await
        .expect("a set");
    assert!(identify(&auth, &old.named("old", &good())).await.is_ok());
    assert_eq!(code(&auth, &new.named("new", &good())).await, DenialCode::InvalidToken);
    // The right name is not the right key.
    assert_eq!(code(&auth, &new.named("old", &good())).await, DenialCode::InvalidToken);
    file(directory.path(), "jwks.json", set(&[old.jwk("old"), new.jwk("new")]));
    until(async || identify(&auth, &new.named("new", &good())).await.is_ok()).await;
    assert!(identify(&auth, &old.named("old", &good())).await.is_ok());
    // Garbage changes nothing.
    file(directory.path(), "jwks.json", "garbage");
    // sleep: nothing happens that could be waited for; the file is looked at every second.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(identify(&auth, &new.named("new", &good())).await.is_ok());
    file(directory.path(), "jwks.json", set(&[new.jwk("new")]));
    until(async || identify(&auth, &old.named("old", &good())).await.is_err()).await;
}

/// What a key server answers.
#[derive(Clone)]
enum Answers {
    With(String),
    WithStatus(&'static str),
    WithoutEnd,
    Never,
}

/// Returns a server of key sets, and how often it was asked.
async fn key_server(answers: Arc<Mutex<Answers>>) -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answers = answers.lock().expect("a lock").clone();
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut head = [0; 2_048];
                let _ = stream.read(&mut head).await;
                match answers {
                    Answers::With(body) => {
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                            body.len()
                        );
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                    Answers::WithStatus(status) => {
                        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                    Answers::WithoutEnd => {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"keys\":[").await;
                        while stream.write_all(&[b' '; 65_536]).await.is_ok() {}
                    }
                    Answers::Never => std::future::pending().await,
                }
            });
        }
    });
    (url, asked)
}

fn of_url(url: &str) -> TokenKeys {
    TokenKeys::JwksUrl {
        url: url.to_owned(),
        ca_file: None,
        refresh: Duration::from_secs(3_600),
    }
}

#[tokio::test]
async fn a_key_set_behind_an_address_is_fetched_again_for_a_new_key_but_not_for_everybody() {
    let directory = tempfile::tempdir().expect("a directory");
    let (old, new) = (Issuer::new(Algorithm::EdDSA), Issuer::new(Algorithm::EdDSA));
    let set = |keys: &[Value]| Answers::With(json!({ "keys": keys }).to_string());
    let answers = Arc::new(Mutex::new(set(&[old.jwk("old")])));
    let (url, asked) = key_server(answers.clone()).await;
    let auth = open(directory.path(), tokens(Algorithm::EdDSA, of_url(&url)))
        .await
        .expect("an address");
    assert!(identify(&auth, &old.named("old", &good())).await.is_ok());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    *answers.lock().expect("a lock") = set(&[old.jwk("old"), new.jwk("new")]);
    until(async || identify(&auth, &new.named("new", &good())).await.is_ok()).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2, "once for the new key");
    // A flood of made-up names asks once in five seconds at most.
    for n in 0..200 {
        assert_eq!(
            code(&auth, &new.named(&format!("made up {n}"), &good())).await,
            DenialCode::InvalidToken
        );
    }
    assert!(asked.load(Ordering::SeqCst) <= 3);
    // Whatever it answers now, the keys that there are stay.
    for bad in [
        Answers::WithStatus("500 Oops"),
        Answers::With("garbage".to_owned()),
        Answers::WithoutEnd,
    ] {
        *answers.lock().expect("a lock") = bad;
        let before = asked.load(Ordering::SeqCst);
        until(async || {
            let _ = identify(&auth, &new.named("unknown", &good())).await;
            asked.load(Ordering::SeqCst) > before
        })
        .await;
        assert!(identify(&auth, &old.named("old", &good())).await.is_ok());
        assert!(identify(&auth, &new.named("new", &good())).await.is_ok());
    }
}

#[tokio::test]
async fn a_key_server_that_never_answers_does_not_hold_the_start_for_long() {
    let directory = tempfile::tempdir().expect("a directory");
    let issuer = Issuer::new(Algorithm::EdDSA);
    let answers = Arc::new(Mutex::new(Answers::Never));
    let (url, _) = key_server(answers.clone()).await;
    let opening = open(directory.path(), tokens(Algorithm::EdDSA, of_url(&url)));
    let auth = tokio::time::timeout(Duration::from_secs(30), opening)
        .await
        .expect("in time")
        .expect("started all the same");
    assert_eq!(
        auth.identify(Ok(Some(Secret::new(issuer.named("k", &good()))))).await.err(),
        Some(Denial::Unavailable)
    );
    // Once it does, tokens are taken without anybody's doing.
    *answers.lock().expect("a lock") = Answers::With(json!({ "keys": [issuer.jwk("k")] }).to_string());
    until(async || identify(&auth, &issuer.named("k", &good())).await.is_ok()).await;
}
