//! A server of a few lines, in this process, that speaks what backups need of Backblaze B2's own
//! interface: names have versions, of which the last is seen; pages are short; tokens can expire.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::bucket::Script;
use crate::web::{Answer, Request, decoded, serve};

/// The one key that is let in, and its id.
pub const KEY: (&str, &str) = ("key-id", "hunter2");
/// The one bucket's id.
pub const BUCKET_ID: &str = "4a48fe8875c6214145260818";
/// How `KEY` looks in a header: `printf key-id:hunter2 | base64`.
const BASIC: &str = "Basic a2V5LWlkOmh1bnRlcjI=";
/// No page is longer.
const PAGE: usize = 5;

/// What the server has and is told.
pub struct B2 {
    /// Where it listens.
    pub port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// The versions of each name, the last one last.
    stored: Mutex<BTreeMap<String, Vec<Version>>>,
    requests: Mutex<Vec<Request>>,
    script: Mutex<Option<Arc<Script>>>,
    /// Logins so far, and how many of them have ended.
    logins: AtomicUsize,
    ended: AtomicUsize,
}

struct Version {
    /// None: the name is hidden.
    body: Option<Vec<u8>>,
    millis: u64,
}

impl B2 {
    /// A server with one bucket, `bucket`, in which nothing is.
    #[allow(clippy::new_without_default, reason = "it starts a server")]
    pub fn new() -> Self {
        let state = Arc::<State>::default();
        let serving = Arc::clone(&state);
        let port = serve(move |request| {
            serving.requests.lock().unwrap().push(request.clone());
            let script = serving.script.lock().unwrap().clone();
            let scripted = script.and_then(|script| script(&request));
            scripted.unwrap_or_else(|| serving.answer(&request))
        });
        Self { port, state }
    }

    /// Where somebody logs in.
    pub fn login(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Answers as `script` says where it says something.
    pub fn script(&self, script: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static) {
        *self.state.script.lock().unwrap() = Some(Arc::new(script));
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Makes all tokens bad.
    pub fn expire_tokens(&self) {
        let logins = self.state.logins.load(Ordering::SeqCst);
        self.state.ended.store(logins, Ordering::SeqCst);
    }

    /// How many versions a name has, hidden ones included.
    pub fn versions(&self, name: &str) -> usize {
        self.state.stored.lock().unwrap().get(name).map_or(0, Vec::len)
    }

    /// Stores something, as another tool does.
    pub fn plant(&self, name: &str, body: &[u8]) {
        self.state.add(name, Some(body.to_vec()));
    }
}

/// A refusal in the words of B2.
pub fn failure(status: u16, code: &str) -> Answer {
    let text = json!({"status": status, "code": code, "message": "told by a test"});
    Answer::new(status, text.to_string())
}

fn ok(value: &Value) -> Answer {
    Answer::new(200, value.to_string())
}

impl State {
    fn add(&self, name: &str, body: Option<Vec<u8>>) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let millis = u64::try_from(now.unwrap().as_millis()).unwrap();
        let mut stored = self.stored.lock().unwrap();
        let versions = stored.entry(name.to_owned()).or_default();
        versions.push(Version { body, millis });
    }

    fn answer(&self, request: &Request) -> Answer {
        const LOGIN: &str = "/b2api/v2/b2_authorize_account";
        let given = request.header("authorization").unwrap_or_default();
        if request.path() == LOGIN {
            return if given == BASIC {
                self.log_in(request)
            } else {
                failure(401, "unauthorized")
            };
        }
        let login = given.strip_prefix("token-").map(str::parse::<usize>);
        let ended = self.ended.load(Ordering::SeqCst);
        if login.is_none_or(|login| login.unwrap() <= ended) {
            return failure(401, "expired_auth_token");
        }
        let told = || serde_json::from_slice::<Value>(&request.body).unwrap();
        match (request.method.as_str(), request.path()) {
            ("POST", "/b2api/v2/b2_list_file_names") => self.list(&told()),
            ("POST", "/b2api/v2/b2_hide_file") => self.hide(&told()),
            ("POST", "/b2api/v2/b2_get_upload_url") => ok(&json!({
                "uploadUrl": format!("http://{}/upload", request.header("host").unwrap()),
                "authorizationToken": given,
            })),
            ("POST", "/upload") => {
                let name = decoded(request.header("x-bz-file-name").unwrap());
                self.add(&name, Some(request.body.clone()));
                ok(&json!({"fileName": name, "contentLength": request.body.len()}))
            }
            ("GET" | "HEAD", path) => self.give(path, request),
            _ => failure(405, "method_not_allowed"),
        }
    }

    fn log_in(&self, request: &Request) -> Answer {
        let number = self.logins.fetch_add(1, Ordering::SeqCst) + 1;
        let url = format!("http://{}", request.header("host").unwrap());
        ok(&json!({
            "authorizationToken": format!("token-{number}"),
            "apiUrl": url,
            "downloadUrl": url,
        }))
    }

    fn list(&self, told: &Value) -> Answer {
        if told["bucketId"] != BUCKET_ID {
            return failure(400, "bad_bucket_id");
        }
        let prefix = told["prefix"].as_str().unwrap_or_default();
        let start = told["startFileName"].as_str().unwrap_or_default();
        let most = told["maxFileCount"].as_u64().unwrap_or(100);
        let most = usize::try_from(most).unwrap().min(PAGE);
        let stored = self.stored.lock().unwrap();
        let mut seen = stored.iter().filter_map(|(name, versions)| {
            let last = versions.last()?;
            let body = last.body.as_ref()?;
            (name.starts_with(prefix) && name.as_str() >= start).then_some((
                name,
                body,
                last.millis,
            ))
        });
        let file = |(name, body, millis): (&String, &Vec<u8>, u64)| json!({"fileName": name, "action": "upload", "contentLength": body.len(), "uploadTimestamp": millis});
        let files: Vec<_> = seen.by_ref().take(most).map(file).collect();
        let next = seen.next().map(|(name, ..)| name);
        ok(&json!({"files": files, "nextFileName": next}))
    }

    fn hide(&self, told: &Value) -> Answer {
        let name = told["fileName"].as_str().unwrap();
        let is_seen = match self.stored.lock().unwrap().get(name) {
            None => return failure(400, "no_such_file"),
            Some(versions) => versions.last().is_some_and(|last| last.body.is_some()),
        };
        if !is_seen {
            return failure(400, "already_hidden");
        }
        self.add(name, None);
        ok(&json!({"action": "hide"}))
    }

    fn give(&self, path: &str, request: &Request) -> Answer {
        let name = path.strip_prefix("/file/bucket/").map(decoded);
        let stored = self.stored.lock().unwrap();
        let last = name.and_then(|name| stored.get(&name)?.last());
        let Some((body, millis)) = last.and_then(|last| Some((last.body.as_ref()?, last.millis)))
        else {
            return failure(404, "not_found");
        };
        let with_time = |answer: Answer| answer.with("x-bz-upload-timestamp", millis.to_string());
        let Some(range) = request.header("range") else {
            return with_time(Answer::new(200, body.clone()));
        };
        let (start, end) = range.trim_start_matches("bytes=").split_once('-').unwrap();
        let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
        if start >= body.len() {
            return failure(416, "range_not_satisfiable");
        }
        let end = end.saturating_add(1).min(body.len());
        let told = format!("bytes {start}-{}/{}", end - 1, body.len());
        with_time(Answer::new(206, &body[start..end])).with("content-range", told)
    }
}
