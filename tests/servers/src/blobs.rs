//! A server of a few lines, in this process, that speaks what backups need of Azure Blob Storage and
//! of Google Cloud Storage. Both decide themselves which of many writers of a name wins. It lets
//! everybody in who sends any credentials.
//!
//! Azure's answers are those of azurite, which was asked the same. Google's emulators ignore the
//! condition of a write; that it holds when an upload begins and again when it ends is Google's
//! documentation: <https://cloud.google.com/storage/docs/request-preconditions>.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use serde_json::json;

use crate::bucket::Script;
use crate::web::{Answer, Request, decoded, serve};

/// No page of a listing is longer.
const PAGE: usize = 5;

/// What the server has and is told.
pub struct Blobs {
    /// Where it listens.
    pub port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    stored: Mutex<BTreeMap<String, Blob>>,
    /// Uploads to Google that are not over.
    uploads: Mutex<Vec<Upload>>,
    requests: Mutex<Vec<Request>>,
    script: Mutex<Option<Arc<Script>>>,
}

struct Blob {
    body: Vec<u8>,
    seconds: u64,
}

struct Upload {
    name: String,
    is_conditional: bool,
    body: Vec<u8>,
}

impl Blobs {
    /// A server with one container, or bucket, `bucket`, in which nothing is.
    #[allow(clippy::new_without_default, reason = "it starts a server")]
    pub fn new() -> Self {
        let state = Arc::<State>::default();
        let serving = Arc::clone(&state);
        let port = serve(move |request| {
            serving.requests.lock().unwrap().push(request.clone());
            let script = serving.script.lock().unwrap().clone();
            let scripted = script.and_then(|script| script(&request));
            scripted.unwrap_or_else(|| serving.answer(request))
        });
        Self { port, state }
    }

    /// The address.
    pub fn endpoint(&self) -> String {
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
}

impl State {
    fn answer(&self, request: Request) -> Answer {
        let path = request.path().to_owned();
        let date = http_date(now());
        let is_listing = request.parameter("comp") == Some("list");
        let answer = if request.header("authorization").is_none()
            && request.parameter("sig").is_none()
            && request.parameter("upload_id").is_none()
        {
            Answer::new(401, "")
        } else if path == "/bucket" && is_listing {
            self.azure_list(&request)
        } else if let Some(name) = path.strip_prefix("/bucket/") {
            self.azure(&decoded(name), &request)
        } else if path == "/storage/v1/b/bucket/o" {
            self.google_list(&request)
        } else if let Some(name) = path.strip_prefix("/storage/v1/b/bucket/o/") {
            self.google(&decoded(name), &request)
        } else if path == "/upload/storage/v1/b/bucket/o" {
            self.google_upload(request)
        } else {
            azure_failure(404, "ContainerNotFound")
        };
        answer.with("date", date)
    }

    /// Stores a new name, or says that it is taken.
    fn create(&self, name: &str, body: Vec<u8>) -> bool {
        let mut stored = self.stored.lock().unwrap();
        let is_new = !stored.contains_key(name);
        if is_new {
            let seconds = now();
            stored.insert(name.to_owned(), Blob { body, seconds });
        }
        is_new
    }

    /// A page of names, and the one that the next page begins with.
    fn page<T>(
        &self,
        prefix: &str,
        start: &str,
        show: impl Fn(&str, &Blob) -> T,
    ) -> (Vec<T>, Option<String>) {
        let stored = self.stored.lock().unwrap();
        let mut found =
            stored.iter().filter(|(name, _)| name.starts_with(prefix) && name.as_str() >= start);
        let page = found.by_ref().take(PAGE);
        let page = page.map(|(name, blob)| show(name, blob)).collect();
        (page, found.next().map(|(name, _)| name.clone()))
    }

    fn azure(&self, name: &str, request: &Request) -> Answer {
        match request.method.as_str() {
            "PUT" if request.header("if-none-match") != Some("*") => {
                azure_failure(400, "InvalidHeaderValue")
            }
            "PUT" if self.create(name, request.body.clone()) => {
                Answer::new(201, "").with("etag", "\"x\"")
            }
            "PUT" => azure_failure(409, "BlobAlreadyExists"),
            "DELETE" => match self.stored.lock().unwrap().remove(name) {
                Some(_) => Answer::new(202, ""),
                None => azure_failure(404, "BlobNotFound"),
            },
            _ => match self.stored.lock().unwrap().get(name) {
                Some(blob) => part(blob, request, azure_failure(416, "InvalidRange")),
                None => azure_failure(404, "BlobNotFound"),
            },
        }
    }

    fn azure_list(&self, request: &Request) -> Answer {
        let given = |name| decoded(request.parameter(name).unwrap_or_default());
        let (blobs, next) = self.page(&given("prefix"), &given("marker"), |name, blob| {
            format!(
                "<Blob><Name>{name}</Name><Properties><Last-Modified>{}</Last-Modified><Etag>0x1</Etag><Content-Length>{}</Content-Length><Content-Type>x/y</Content-Type><Content-MD5>x</Content-MD5></Properties></Blob>",
                http_date(blob.seconds),
                blob.body.len()
            )
        });
        let (blobs, next) = (blobs.concat(), next.unwrap_or_default());
        Answer::new(
            200,
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>"
            ),
        )
    }

    fn google(&self, name: &str, request: &Request) -> Answer {
        let mut stored = self.stored.lock().unwrap();
        match (request.method.as_str(), stored.get(name)) {
            (_, None) => google_failure(404, "notFound"),
            ("DELETE", _) => {
                stored.remove(name);
                Answer::new(204, "")
            }
            (_, Some(blob)) if request.parameter("alt") == Some("media") => {
                part(blob, request, google_failure(416, "requestedRangeNotSatisfiable"))
            }
            (_, Some(blob)) => Answer::new(200, google_object(name, blob).to_string()),
        }
    }

    fn google_list(&self, request: &Request) -> Answer {
        let given = |name| decoded(request.parameter(name).unwrap_or_default());
        let (items, next) = self.page(&given("prefix"), &given("pageToken"), google_object);
        let page = json!({"kind": "storage#objects", "items": items, "nextPageToken": next});
        Answer::new(200, page.to_string())
    }

    /// An upload that is begun, and goes on in pieces.
    fn google_upload(&self, request: Request) -> Answer {
        let mut uploads = self.uploads.lock().unwrap();
        if request.method == "POST" {
            let name = decoded(request.parameter("name").unwrap());
            let is_conditional = request.parameter("ifGenerationMatch") == Some("0");
            if request.parameter("uploadType") != Some("resumable") {
                return google_failure(400, "badRequest");
            }
            if is_conditional && self.stored.lock().unwrap().contains_key(&name) {
                return google_failure(412, "conditionNotMet");
            }
            let url = format!(
                "http://{}/upload/storage/v1/b/bucket/o?upload_id={}",
                request.header("host").unwrap(),
                uploads.len()
            );
            uploads.push(Upload { name, is_conditional, body: Vec::new() });
            return Answer::new(200, "").with("location", url);
        }
        let number: usize = request.parameter("upload_id").unwrap().parse().unwrap();
        let upload = &mut uploads[number];
        let range = request.header("content-range").unwrap().to_owned();
        upload.body.extend(request.body);
        if range.ends_with("/*") {
            let arrived = format!("bytes=0-{}", upload.body.len() - 1);
            return Answer::new(308, "").with("range", arrived);
        }
        let (name, body) = (upload.name.clone(), std::mem::take(&mut upload.body));
        if !upload.is_conditional {
            self.stored.lock().unwrap().remove(&name);
        }
        if self.create(&name, body) {
            let stored = self.stored.lock().unwrap();
            Answer::new(200, google_object(&name, &stored[&name]).to_string())
        } else {
            google_failure(412, "conditionNotMet")
        }
    }
}

/// A blob, or the part that is asked for.
fn part(blob: &Blob, request: &Request, outside: Answer) -> Answer {
    let body = &blob.body;
    let with_time = |answer: Answer| {
        let time = http_date(blob.seconds);
        answer.with("last-modified", time).with("etag", "\"x\"")
    };
    let range = request.header("range").or(request.header("x-ms-range"));
    let Some(range) = range else {
        return with_time(Answer::new(200, body.clone()));
    };
    let (start, end) = range.trim_start_matches("bytes=").split_once('-').unwrap();
    let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
    if start >= body.len() {
        return outside;
    }
    let end = end.saturating_add(1).min(body.len());
    let told = format!("bytes {start}-{}/{}", end - 1, body.len());
    with_time(Answer::new(206, &body[start..end])).with("content-range", told)
}

/// A refusal in the words of Azure.
pub fn azure_failure(status: u16, code: &str) -> Answer {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><Error><Code>{code}</Code><Message>told by a test</Message></Error>"
    );
    Answer::new(status, text).with("x-ms-error-code", code)
}

/// A refusal in the words of Google.
pub fn google_failure(status: u16, reason: &str) -> Answer {
    let error = json!({"domain": "global", "reason": reason, "message": "told by a test"});
    let text = json!({"error": {"code": status, "message": "told by a test", "errors": [error]}});
    Answer::new(status, text.to_string())
}

fn google_object(name: &str, blob: &Blob) -> serde_json::Value {
    let (year, month, day, seconds) = date(blob.seconds);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    json!({
        "name": name,
        "size": blob.body.len().to_string(),
        "etag": "x",
        "md5Hash": "x",
        "generation": "1",
        "contentType": "x/y",
        "updated": format!("{year}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.000Z"),
    })
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// Year, month, day, and the seconds of that day: <https://howardhinnant.github.io/date_algorithms.html>
fn date(unix: u64) -> (u64, u64, u64, u64) {
    let days = unix / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    (year, month, day, unix % 86_400)
}

/// `Mon, 23 Nov 2026 08:00:00 GMT`
fn http_date(unix: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let (year, month, day, seconds) = date(unix);
    let index = usize::try_from(month - 1).unwrap() * 3;
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        DAYS[usize::try_from(unix / 86_400 % 7).unwrap()],
        &MONTHS[index..index + 3],
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}
