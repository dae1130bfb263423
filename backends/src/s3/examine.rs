//! What the bucket's own settings do to what is stored: versioning, lifecycle rules, object lock,
//! uploads that nobody finished. `object_store` has no calls for these; each is one signed GET.

use http::{Method, Request};
use object_store::aws::AwsAuthorizer;
use object_store::client::{HttpRequestBody, HttpService as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::S3Backend;
use super::http::S3Refusal;
use crate::http::{find, innermost};
use crate::runtime::block_on;
use crate::{SettingFinding, Weight};

/// The longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// What seawall keeps below these never goes to a cold class: every restore begins with it.
const HOT: [&str; 6] =
    ["markers/", "data/index/", "data/lists/", "data/manifests/", "data/trees/", "databases/"];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Versioning {
    status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Lifecycle {
    rule: Vec<Rule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Rule {
    #[serde(rename = "ID")]
    id: String,
    status: String,
    prefix: Option<String>,
    filter: Option<Filter>,
    expiration: Option<Expiration>,
    transition: Vec<Transition>,
    noncurrent_version_expiration: Option<Noncurrent>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Filter {
    prefix: Option<String>,
    and: Option<And>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct And {
    prefix: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Expiration {
    days: Option<u64>,
    date: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Transition {
    storage_class: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Noncurrent {
    noncurrent_days: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Uploads {
    upload: Vec<UnfinishedUpload>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct UnfinishedUpload {
    initiated: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ObjectLock {
    object_lock_enabled: String,
    rule: Option<LockRule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct LockRule {
    default_retention: Option<Retention>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Retention {
    mode: String,
    days: Option<u64>,
    years: Option<u64>,
}

/// What came of a question.
enum BucketAnswer<T> {
    Answered(T),
    /// The server says that nothing is set.
    Unset,
    /// It cannot be asked, and why.
    Unknown(String),
}

/// Asks for everything.
pub(super) fn examine(backend: &S3Backend) -> Vec<SettingFinding> {
    let prefix = &backend.place.prefix;
    let versioning = ask::<Versioning>(backend, "versioning");
    let lifecycle = ask::<Lifecycle>(backend, "lifecycle");
    let uploads = ask::<Uploads>(backend, "uploads");
    let lock = ask::<ObjectLock>(backend, "object-lock");
    let is_versioned =
        matches!(&versioning, BucketAnswer::Answered(found) if found.status == "Enabled");
    let mut findings = vec![of_versioning(&versioning, &lifecycle)];
    findings.extend(of_lifecycle(&lifecycle, prefix));
    findings.push(of_lock(&lock, is_versioned));
    findings.extend(of_uploads(&uploads));
    findings
}

/// Reads one of the bucket's settings.
fn ask<T: DeserializeOwned>(backend: &S3Backend, what: &str) -> BucketAnswer<T> {
    match block_on(request(backend, what)) {
        Ok(Ok(body)) => match quick_xml::de::from_str(&body) {
            Ok(found) => BucketAnswer::Answered(found),
            Err(_) => BucketAnswer::Unknown("the answer cannot be read".to_owned()),
        },
        Ok(Err(error)) => match find::<S3Refusal>(&*error) {
            Some(refused) if refused.status == 404 => BucketAnswer::Unset,
            Some(refused) if refused.status == 403 => {
                BucketAnswer::Unknown("these credentials may not ask".to_owned())
            }
            _ => BucketAnswer::Unknown(innermost(&*error).to_string()),
        },
        Err(error) => BucketAnswer::Unknown(error.to_string()),
    }
}

/// The body of the answer to a signed `GET BUCKET?what`.
async fn request(
    backend: &S3Backend,
    what: &str,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let credential = backend.credentials.current().await?;
    let mut request = Request::builder()
        .method(Method::GET)
        .uri(format!("{}/?{what}=", backend.place.bucket_url()))
        .body(HttpRequestBody::empty())?;
    AwsAuthorizer::new(&credential, "s3", &backend.place.region)
        .try_authorize(&mut request, None)?;
    let response = backend.service.call(request).await?;
    let body = response.into_body().bytes().await?;
    if body.len() > MAX_ANSWER_BYTES {
        return Err("the answer is too long".into());
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn finding(
    about: &'static str,
    weight: Weight,
    text: impl Into<String>,
    next: &str,
) -> SettingFinding {
    SettingFinding {
        about,
        weight,
        text: text.into(),
        next: (!next.is_empty()).then(|| next.to_owned()),
    }
}

fn of_versioning(
    versioning: &BucketAnswer<Versioning>,
    lifecycle: &BucketAnswer<Lifecycle>,
) -> SettingFinding {
    const ABOUT: &str = "versioning";
    match versioning {
        BucketAnswer::Answered(found) if found.status == "Enabled" => {
            let expires = |rule: &Rule| {
                rule.status == "Enabled"
                    && rule
                        .noncurrent_version_expiration
                        .as_ref()
                        .is_some_and(|noncurrent| noncurrent.noncurrent_days.is_some())
            };
            match lifecycle {
                BucketAnswer::Answered(found) if found.rule.iter().any(expires) => finding(
                    ABOUT,
                    Weight::Good,
                    "on; versions that are not current expire by a rule",
                    "",
                ),
                _ => finding(
                    ABOUT,
                    Weight::Note,
                    "on: a backup overwrites and deletes nothing, but what is deleted one day stays as a version, and costs",
                    "add a lifecycle rule NoncurrentVersionExpiration, some weeks long",
                ),
            }
        }
        BucketAnswer::Answered(_) | BucketAnswer::Unset => finding(ABOUT, Weight::Good, "off", ""),
        BucketAnswer::Unknown(why) => finding(ABOUT, Weight::Note, format!("not known: {why}"), ""),
    }
}

fn of_lifecycle(lifecycle: &BucketAnswer<Lifecycle>, prefix: &str) -> Vec<SettingFinding> {
    const ABOUT: &str = "lifecycle";
    let rules = match lifecycle {
        BucketAnswer::Answered(found) => &found.rule,
        BucketAnswer::Unset => return vec![finding(ABOUT, Weight::Good, "no rules", "")],
        BucketAnswer::Unknown(why) => {
            return vec![finding(ABOUT, Weight::Note, format!("not known: {why}"), "")];
        }
    };
    let whole = |below: &str| match prefix {
        "" => below.to_owned(),
        prefix => format!("{prefix}/{below}"),
    };
    let mut findings = Vec::new();
    for rule in rules.iter().filter(|rule| rule.status == "Enabled") {
        let name: String = rule.id.chars().filter(|c| !c.is_control()).take(60).collect();
        let expires = rule.expiration.as_ref();
        let expires =
            expires.is_some_and(|expires| expires.days.is_some() || expires.date.is_some());
        if expires && meet(rule.about(), &whole("")) {
            findings.push(finding(
                ABOUT,
                Weight::Bad,
                format!("the rule {name:?} deletes what is stored here after a time, whether a snapshot needs it or not"),
                "remove its Expiration, or let it not cover this prefix",
            ));
        }
        let colder = rule.transition.iter().find(|to| is_archive(&to.storage_class));
        let is_hot = HOT.iter().any(|hot| meet(rule.about(), &whole(hot)));
        if let Some(colder) = colder
            && is_hot
        {
            findings.push(finding(
                ABOUT,
                Weight::Bad,
                format!(
                    "the rule {name:?} moves markers, index or dumps to {}, where they cannot be read at once",
                    colder.storage_class.chars().filter(|c| !c.is_control()).take(40).collect::<String>()
                ),
                "let it cover data/blocks/ only",
            ));
        }
    }
    if findings.is_empty() {
        findings.push(finding(ABOUT, Weight::Good, "no rule harms what is stored", ""));
    }
    findings
}

impl Rule {
    /// The prefix that it is about; empty for everything.
    fn about(&self) -> &str {
        let filter = self.filter.as_ref();
        let of_filter = filter.and_then(|filter| {
            let and = filter.and.as_ref().and_then(|and| and.prefix.as_deref());
            filter.prefix.as_deref().or(and)
        });
        of_filter.or(self.prefix.as_deref()).unwrap_or("")
    }
}

/// Whether some key can begin with both.
fn meet(one: &str, other: &str) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// Classes from which nothing can be read without having it restored first.
fn is_archive(class: &str) -> bool {
    matches!(class, "GLACIER" | "DEEP_ARCHIVE")
}

fn of_lock(lock: &BucketAnswer<ObjectLock>, is_versioned: bool) -> SettingFinding {
    const ABOUT: &str = "object lock";
    match lock {
        BucketAnswer::Answered(found) if found.object_lock_enabled == "Enabled" => {
            let rule = found.rule.as_ref();
            let retention = rule.and_then(|rule| rule.default_retention.as_ref());
            match retention {
                Some(Retention { mode, days, years }) => {
                    let days = days.or(years.map(|years| years * 365)).unwrap_or(0);
                    let mode: String = mode.chars().filter(char::is_ascii_alphabetic).collect();
                    let text =
                        format!("on: what is stored cannot be removed for {days} days ({mode})");
                    finding(ABOUT, Weight::Good, text, "")
                }
                None => finding(
                    ABOUT,
                    Weight::Note,
                    "on, but nothing is kept by default",
                    "give the bucket a default retention",
                ),
            }
        }
        BucketAnswer::Answered(_) | BucketAnswer::Unset => {
            let text = if is_versioned {
                "off: whoever may delete versions can remove backups"
            } else {
                "off: whoever may delete can remove backups"
            };
            finding(
                ABOUT,
                Weight::Note,
                text,
                "give this host credentials that cannot delete, or a bucket with Object Lock",
            )
        }
        BucketAnswer::Unknown(why) => finding(ABOUT, Weight::Note, format!("not known: {why}"), ""),
    }
}

fn of_uploads(uploads: &BucketAnswer<Uploads>) -> Option<SettingFinding> {
    let BucketAnswer::Answered(Uploads { upload }) = uploads else {
        return None;
    };
    let oldest = upload.iter().map(|upload| upload.initiated.as_str()).min()?;
    let oldest: String = oldest.chars().filter(|c| !c.is_control()).take(10).collect();
    Some(finding(
        "uploads",
        Weight::Note,
        format!(
            "{} uploads in parts were never finished, the oldest of {oldest}; seawall makes none, but they cost",
            upload.len()
        ),
        "add a lifecycle rule AbortIncompleteMultipartUpload",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifecycle(rules: &str) -> BucketAnswer<Lifecycle> {
        let text = format!(
            r#"<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{rules}</LifecycleConfiguration>"#
        );
        BucketAnswer::Answered(quick_xml::de::from_str(&text).unwrap())
    }

    fn worst(rules: &str, prefix: &str) -> Weight {
        let findings = of_lifecycle(&lifecycle(rules), prefix);
        let is_bad = |finding: &SettingFinding| finding.weight == Weight::Bad;
        if findings.iter().any(is_bad) { Weight::Bad } else { findings[0].weight }
    }

    #[test]
    fn rules_that_delete_are_bad() {
        let rule = |filter: &str| {
            format!(
                "<Rule><ID>x</ID>{filter}<Status>Enabled</Status><Expiration><Days>30</Days></Expiration></Rule>"
            )
        };
        let of = |filter: &str| worst(&rule(filter), "backups");
        assert_eq!(of("<Filter><Prefix></Prefix></Filter>"), Weight::Bad);
        assert_eq!(of("<Prefix>back</Prefix>"), Weight::Bad);
        assert_eq!(of("<Filter/>"), Weight::Bad);
        let and = "<Filter><And><Prefix>backups/data/</Prefix><Tag/></And></Filter>";
        assert_eq!(of(and), Weight::Bad);
        assert_eq!(of("<Filter><Prefix>logs/</Prefix></Filter>"), Weight::Good);
        let off = rule("<Filter/>").replace("Enabled", "Disabled");
        assert_eq!(worst(&off, "backups"), Weight::Good);
        let marker = "<Rule><ID>x</ID><Filter/><Status>Enabled</Status><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration></Rule>";
        assert_eq!(worst(marker, "backups"), Weight::Good);
    }

    #[test]
    fn archives_are_for_blocks() {
        let rule = |prefix: &str, class: &str| {
            format!(
                "<Rule><ID>x</ID><Filter><Prefix>{prefix}</Prefix></Filter><Status>Enabled</Status><Transition><Days>1</Days><StorageClass>{class}</StorageClass></Transition><Transition><Days>9</Days><StorageClass>STANDARD_IA</StorageClass></Transition></Rule>"
            )
        };
        assert_eq!(worst(&rule("", "GLACIER"), ""), Weight::Bad);
        assert_eq!(worst(&rule("a/data/", "DEEP_ARCHIVE"), "a"), Weight::Bad);
        assert_eq!(worst(&rule("a/data/blocks/", "GLACIER"), "a"), Weight::Good);
        assert_eq!(worst(&rule("", "STANDARD_IA"), ""), Weight::Good);
    }

    #[test]
    fn versions_that_never_expire_are_told() {
        let on = || BucketAnswer::Answered(Versioning { status: "Enabled".to_owned() });
        assert_eq!(of_versioning(&on(), &BucketAnswer::Unset).weight, Weight::Note);
        let rule = lifecycle(
            "<Rule><Status>Enabled</Status><NoncurrentVersionExpiration><NoncurrentDays>30</NoncurrentDays></NoncurrentVersionExpiration></Rule>",
        );
        assert_eq!(of_versioning(&on(), &rule).weight, Weight::Good);
        assert_eq!(of_versioning(&BucketAnswer::Unset, &rule).weight, Weight::Good);
    }

    #[test]
    fn unfinished_uploads_are_told() {
        let xml = "<ListMultipartUploadsResult><Upload><Key>x</Key><Initiated>2026-01-02T00:00:00Z</Initiated></Upload></ListMultipartUploadsResult>";
        let found =
            of_uploads(&BucketAnswer::Answered(quick_xml::de::from_str(xml).unwrap())).unwrap();
        assert!(found.text.contains("2026-01-02"), "{}", found.text);
        let none = "<ListMultipartUploadsResult></ListMultipartUploadsResult>";
        assert!(
            of_uploads(&BucketAnswer::Answered(quick_xml::de::from_str(none).unwrap())).is_none()
        );
    }

    #[test]
    fn locks() {
        let of = |xml: &str| {
            let lock = BucketAnswer::Answered(quick_xml::de::from_str(xml).unwrap());
            of_lock(&lock, true)
        };
        let found = of(
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Years>1</Years></DefaultRetention></Rule></ObjectLockConfiguration>",
        );
        assert_eq!(found.weight, Weight::Good);
        assert!(found.text.contains("365 days"), "{}", found.text);
        let found = of(
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>",
        );
        assert_eq!(found.weight, Weight::Note);
        assert_eq!(of_lock(&BucketAnswer::Unset, false).weight, Weight::Note);
    }
}
