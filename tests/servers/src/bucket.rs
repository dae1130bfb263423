//! An S3 server of a few lines, in this process: it can be told to ignore the condition of a put, as
//! Garage does, to answer what a test wants, and it remembers every request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};

use crate::wait::Gathering;
use crate::web::{Answer, Request, serve};

/// Answers some requests in place of the bucket.
pub type Script = dyn Fn(&Request) -> Option<Answer> + Send + Sync;

/// What the server has and is told.
pub struct Bucket {
    /// Where it listens.
    pub port: u16,
    state: Arc<State>,
}

/// By key, with the time of the put.
type Stored = BTreeMap<String, (DateTime<Utc>, Vec<u8>)>;

struct State {
    is_conditional: bool,
    stored: Mutex<Stored>,
    requests: Mutex<Vec<Request>>,
    script: Mutex<Option<Arc<Script>>>,
    gathering: Option<Gathering>,
}

impl Bucket {
    /// A bucket that overwrites what is there.
    pub fn that_overwrites() -> Self {
        Self::start(false, 0)
    }

    /// A bucket that keeps its promises.
    pub fn that_keeps() -> Self {
        Self::start(true, 0)
    }

    /// One that keeps its promises, and at first answers nothing until so many requests are there at once.
    pub fn that_gathers(requests: usize) -> Self {
        Self::start(true, requests)
    }

    fn start(is_conditional: bool, gathered: usize) -> Self {
        let state = Arc::new(State {
            is_conditional,
            stored: Mutex::default(),
            requests: Mutex::default(),
            script: Mutex::default(),
            gathering: (gathered > 0).then(|| Gathering::of(gathered)),
        });
        let serving = Arc::clone(&state);
        let port = serve(move |request| serving.answer(request));
        Self { port, state }
    }

    /// The URL of a bucket there.
    pub fn url(&self) -> String {
        format!("s3://bucket/p?endpoint=http://127.0.0.1:{}", self.port)
    }

    /// Answers as `script` says where it says something.
    pub fn script(&self, script: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static) {
        *self.state.script.lock().unwrap() = Some(Arc::new(script));
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// The most requests that were there at one moment, of a bucket that gathers them.
    pub fn most_at_once(&self) -> usize {
        self.state.gathering.as_ref().map_or(0, Gathering::most)
    }
}

impl State {
    fn answer(&self, request: Request) -> Answer {
        if let Some(gathering) = &self.gathering {
            gathering.visit();
        }
        self.requests.lock().unwrap().push(request.clone());
        let script = self.script.lock().unwrap().clone();
        let scripted = script.and_then(|script| script(&request));
        scripted.unwrap_or_else(|| self.serve(request))
    }

    fn serve(&self, request: Request) -> Answer {
        let mut stored = self.stored.lock().unwrap();
        let key = request.path().trim_start_matches("/bucket").to_owned();
        let key = key.trim_start_matches('/').replace("%20", " ");
        match request.method.as_str() {
            "GET" if key.is_empty() => list(&stored, &request),
            "GET" | "HEAD" => match stored.get(&key) {
                Some((time, body)) => part(*time, body, &request),
                None => failure(404, "NoSuchKey", ""),
            },
            "PUT" if self.is_conditional && stored.contains_key(&key) => {
                failure(412, "PreconditionFailed", "")
            }
            "PUT" => {
                stored.insert(key, (Utc::now(), request.body));
                Answer::new(200, "").with("etag", "\"x\"")
            }
            "DELETE" => {
                stored.remove(&key);
                Answer::new(204, "")
            }
            _ => failure(405, "MethodNotAllowed", ""),
        }
    }
}

/// An error in the words of S3, with more elements.
pub fn failure(status: u16, code: &str, more: &str) -> Answer {
    Answer::new(
        status,
        format!("<Error><Code>{code}</Code><Message>told by a test</Message>{more}</Error>"),
    )
}

fn part(time: DateTime<Utc>, body: &[u8], request: &Request) -> Answer {
    let time = time.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let with_time = |answer: Answer| answer.with("last-modified", &time).with("etag", "\"x\"");
    let Some(range) = request.header("range") else {
        return with_time(Answer::new(200, body));
    };
    let (start, end) = range.trim_start_matches("bytes=").split_once('-').unwrap();
    let start: usize = start.parse().unwrap();
    let end: usize = end.parse::<usize>().unwrap().saturating_add(1);
    if start >= body.len() {
        return failure(416, "InvalidRange", "");
    }
    let end = end.min(body.len());
    let told = format!("bytes {start}-{}/{}", end - 1, body.len());
    with_time(Answer::new(206, &body[start..end])).with("content-range", told)
}

/// Pages of three keys.
fn list(stored: &Stored, request: &Request) -> Answer {
    let decoded = |name: &str| {
        let text = request.parameter(name).unwrap_or_default();
        text.replace("%2F", "/").replace("%20", " ").replace('+', " ")
    };
    let (prefix, after) = (decoded("prefix"), decoded("continuation-token"));
    let mut all = stored.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after);
    let page: Vec<_> = all.by_ref().take(3).collect();
    let more = all.next().is_some();
    let mut text = "<ListBucketResult>".to_owned();
    for (key, (time, body)) in &page {
        let (size, time) = (body.len(), time.format("%Y-%m-%dT%H:%M:%S.000Z"));
        text += &format!(
            "<Contents><Key>{key}</Key><LastModified>{time}</LastModified><ETag>\"x\"</ETag><Size>{size}</Size></Contents>"
        );
    }
    if more && let Some((last, _)) = page.last() {
        text += &format!("<NextContinuationToken>{last}</NextContinuationToken>");
    }
    Answer::new(200, format!("{text}<IsTruncated>{more}</IsTruncated></ListBucketResult>"))
}
