//! Against servers of this process.

use std::io::Write as _;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

use seawall_test_servers::wait::Gathering;
use seawall_test_servers::web::{Answer, serve};

use super::*;
use crate::runtime::block_on;

/// Longer than a test waits for an answer.
const LONG: Duration = Duration::from_secs(5);

fn client(change: impl FnOnce(&mut Options)) -> WebClient {
    let mut options = Options { stalled_after: Duration::from_millis(300), ..Options::default() };
    change(&mut options);
    WebClient::new(&options, NonZeroUsize::new(3).unwrap()).unwrap()
}

fn request(method: &str, port: u16, body: Vec<u8>) -> Request<Bytes> {
    Request::builder()
        .method(method)
        .uri(format!("http://127.0.0.1:{port}/thing?sig=hunter2"))
        .header("authorization", "hunter2")
        .body(body.into())
        .unwrap()
}

fn send(client: &WebClient, method: &str, port: u16) -> Result<Response<Bytes>, HttpTrouble> {
    block_on(client.send(request(method, port, Vec::new()))).unwrap()
}

/// What a GET of this port fails with: its kind, and all that it says.
fn fails(client: &WebClient, port: u16) -> (ErrorKind, String) {
    let trouble = send(client, "GET", port).unwrap_err();
    let error = trouble.explained();
    let text = format!("{trouble:?} {trouble} {error:?} {:?}", error.hint());
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains(&format!("127.0.0.1:{port}: ")), "{text}");
    (error.kind(), text)
}

#[test]
fn a_request_and_its_answer_are_whole() {
    let port = serve(|request| {
        assert_eq!(request.method, "PUT");
        assert_eq!(request.target, "/thing?sig=hunter2");
        assert_eq!(request.header("content-length"), Some("1000000"));
        assert!(request.header("user-agent").unwrap().starts_with("seawall/"));
        Answer::new(201, request.body).with("etag", "x")
    });
    let body: Vec<u8> = (0..=250).cycle().take(1_000_000).collect();
    let client = client(|_| {});
    let answer = block_on(client.send(request("PUT", port, body.clone())));
    let answer = answer.unwrap().unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["etag"], "x");
    assert!(*answer.body() == body);
}

#[test]
fn what_does_not_move_is_given_up() {
    let silent = serve(|_| {
        std::thread::sleep(LONG);
        Answer::new(200, "late")
    });
    let halfway = serve(|_| Answer { claims: Some(100), stalls: true, ..Answer::new(200, "x") });
    for port in [silent, halfway] {
        let (kind, text) = fails(&client(|_| {}), port);
        assert_eq!(kind, ErrorKind::Transient, "{text}");
        assert!(text.contains("nothing moved"), "{text}");
    }
}

#[test]
fn a_body_that_ends_early_is_no_body() {
    let cut = serve(|_| Answer { claims: Some(100), ..Answer::new(200, "x") });
    let none = serve(|_| Answer { hangs_up: true, ..Answer::default() });
    for port in [cut, none] {
        let (kind, text) = fails(&client(|_| {}), port);
        assert_eq!(kind, ErrorKind::Transient, "{text}");
    }
}

#[test]
fn nobody_listens() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let (kind, text) = fails(&client(|_| {}), port);
    assert_eq!(kind, ErrorKind::Transient);
    assert!(text.contains("no connection: Connection refused"), "{text}");
}

#[test]
fn a_refusal_is_told_though_its_words_do_not_come() {
    let stalls = serve(|_| Answer { claims: Some(100), stalls: true, ..Answer::new(507, "full") });
    let long = serve(|_| Answer::new(404, vec![b'x'; 1 << 20]));
    let answer = send(&client(|_| {}), "GET", stalls).unwrap();
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (507, &b"full"[..]));
    let answer = send(&client(|_| {}), "GET", long).unwrap();
    assert_eq!(answer.status(), 404);
    assert!(answer.body().len() as u64 <= MAX_FAILURE_BYTES);
}

#[test]
fn an_answer_without_end_is_refused() {
    let port = serve(|_| Answer::new(200, "0123456789"));
    let client = client(|_| {});
    for (most, is_whole) in [(10, true), (9, false)] {
        let gathered = async {
            let answer = client.begin(request("GET", port, Vec::new())).await?;
            client.gather(answer, most).await
        };
        let gathered = block_on(gathered).unwrap();
        assert_eq!(gathered.is_ok(), is_whole, "{gathered:?}");
        let is_long = matches!(gathered, Err(HttpTroubleKind::TooLong(9)));
        assert_eq!(is_long, !is_whole, "{gathered:?}");
    }
}

#[test]
fn bodies_go_no_faster_than_they_may() {
    let port = serve(|request| match request.method.as_str() {
        "PUT" => Answer::new(200, ""),
        _ => Answer::new(200, vec![7; 100_000]),
    });
    let rate = NonZeroU64::new(200_000);
    let up = client(|options| options.upload_limit = rate);
    let started = Instant::now();
    block_on(up.send(request("PUT", port, vec![7; 100_000]))).unwrap().unwrap();
    let nearly_all = (100_000 - SMALL_CHUNK) * 5;
    assert!(started.elapsed().as_micros() >= nearly_all as u128);
    let down = client(|options| options.download_limit = rate);
    let started = Instant::now();
    // The second waits until the first has had its time.
    for _ in 0..2 {
        send(&down, "GET", port).unwrap();
    }
    assert!(started.elapsed() >= Duration::from_millis(500));
}

#[test]
fn a_pause_of_ones_own_is_no_stall() {
    let port = serve(|request| match request.method.as_str() {
        "PUT" => Answer::new(200, ""),
        _ => Answer::new(200, vec![7; 20_000]),
    });
    // A piece takes 0.8 seconds, and the line is given 0.3.
    let slow = client(|options| {
        options.upload_limit = NonZeroU64::new(20_000);
        options.download_limit = NonZeroU64::new(20_000);
    });
    let put = slow.send(request("PUT", port, vec![7; 20_000]));
    block_on(put).unwrap().unwrap();
    for _ in 0..2 {
        assert_eq!(send(&slow, "GET", port).unwrap().body().len(), 20_000);
    }
}

#[test]
fn so_many_requests_at_once_and_no_more() {
    let gathering = Arc::new(Gathering::of(3));
    let visited = Arc::clone(&gathering);
    let port = serve(move |_| {
        visited.visit();
        Answer::new(200, "")
    });
    let client = client(|options| options.stalled_after = LONG);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| send(&client, "GET", port).unwrap());
        }
    });
    assert_eq!(gathering.most(), 3);
}

#[test]
fn a_request_is_not_sent_on() {
    let port = serve(|_| Answer::new(302, "").with("location", "http://127.0.0.1:9/"));
    assert_eq!(send(&client(|_| {}), "GET", port).unwrap().status(), 302);
}

#[test]
fn https_where_none_is_spoken() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // As servers of HTTP do.
        let _ = stream.read(&mut [0; 100]);
        stream.write_all(b"HTTP/1.1 400 Bad\r\n\r\n").unwrap();
    });
    let request = Request::get(format!("https://127.0.0.1:{port}/hunter2"));
    let sent = client(|_| {});
    let sent = sent.send(request.body(Bytes::new()).unwrap());
    let error = block_on(sent).unwrap().unwrap_err().explained();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    assert!(error.hint().unwrap().contains("HTTPS"), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[test]
fn files_without_certificates_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let refused = || {
        let options = Options { ca_file: Some(path.clone()), ..Options::default() };
        let error = WebClient::new(&options, NonZeroUsize::MIN).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.hint().unwrap().contains("BEGIN CERTIFICATE"));
        let text = std::error::Error::source(&error).unwrap().to_string();
        assert!(text.contains("ca.pem"), "{text}");
    };
    refused();
    for content in ["", "hunter2", "-----BEGIN CERTIFICATE-----\n~\n-----END CERTIFICATE-----\n"] {
        let mut file = File::options();
        let file = file.create(true).write(true).truncate(true).open(&path);
        file.unwrap().write_all(content.as_bytes()).unwrap();
        refused();
    }
}
