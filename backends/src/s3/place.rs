//! From a URL to a bucket: `s3://bucket/prefix?endpoint=…&region=…&style=…&profile=…`.

use url::Url;

use crate::destination::{Remote, invalid};
use crate::{Options, Result};

/// What may follow the question mark.
const PARAMETERS: [&str; 4] = ["endpoint", "region", "style", "profile"];

/// What a URL says, before credentials are looked for.
#[derive(Debug)]
pub(super) struct Given {
    bucket: String,
    prefix: String,
    /// Of a server that is not AWS.
    endpoint: Option<Url>,
    region: Option<String>,
    is_virtual: Option<bool>,
    /// The profile of AWS's configuration files.
    pub(super) profile: Option<String>,
}

/// Where a repository is.
#[derive(Debug)]
pub(super) struct BucketPlace {
    pub(super) bucket: String,
    /// Segments joined by slashes; empty for the whole bucket.
    pub(super) prefix: String,
    pub(super) region: String,
    /// Whether the bucket is part of the host's name.
    pub(super) is_virtual: bool,
    endpoint: Url,
}

impl Given {
    /// Errors: `Invalid`.
    pub(super) fn parse(remote: &Remote, options: &Options) -> Result<Self> {
        remote.allow(&PARAMETERS)?;
        let parameter = |name: &str| {
            let value = remote.parameters.get(name).map(String::as_str);
            match value {
                Some("") => Err(invalid(format!("the parameter {name} is empty"))),
                value => Ok(value),
            }
        };
        let bucket = remote.host.clone();
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(is_name) {
            return Err(invalid(
                "the name of a bucket has 3 to 63 letters, digits, dots and hyphens".to_owned(),
            ));
        }
        let endpoint =
            parameter("endpoint")?.map(|text| parse_endpoint(text, options)).transpose()?;
        let is_virtual = match parameter("style")? {
            None => None,
            Some("path") => Some(false),
            Some("virtual") => Some(true),
            Some(_) => return Err(invalid("the style is path or virtual".to_owned())),
        };
        let variable = |name: &str| (options.variable)(name).filter(|value| !value.is_empty());
        let region = parameter("region")?.map(str::to_owned);
        Ok(Self {
            bucket,
            prefix: remote.prefix()?.join("/"),
            endpoint,
            region: region
                .or_else(|| variable("AWS_REGION"))
                .or_else(|| variable("AWS_DEFAULT_REGION")),
            is_virtual,
            profile: parameter("profile")?.map(str::to_owned),
        })
    }

    /// With the region of the profile, if the URL has none.
    ///
    /// Errors: `Invalid`.
    pub(super) fn complete(self, of_profile: Option<String>) -> Result<BucketPlace> {
        let region = self.region.or(of_profile);
        let region = match (&self.endpoint, region) {
            (_, Some(region)) => region,
            // Most servers do not care, and expect this.
            (Some(_), None) => "us-east-1".to_owned(),
            (None, None) => {
                return Err(invalid("the bucket's region is not known".to_owned())
                    .with_hint("add ?region=… to the URL, or set AWS_REGION"));
            }
        };
        let is_region = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !region.bytes().all(is_region) {
            return Err(invalid("a region has letters, digits and hyphens".to_owned()));
        }
        // A certificate for *.s3.…amazonaws.com does not cover a name with dots.
        let is_virtual =
            self.is_virtual.unwrap_or(self.endpoint.is_none() && !self.bucket.contains('.'));
        let endpoint = match self.endpoint {
            Some(endpoint) => endpoint,
            None => Url::parse(&format!("https://s3.{region}.{}", domain(&region)))
                .map_err(|error| invalid(format!("the region makes no address: {error}")))?,
        };
        Ok(BucketPlace { bucket: self.bucket, prefix: self.prefix, region, is_virtual, endpoint })
    }
}

impl BucketPlace {
    /// The address that the bucket's own requests go to, without a slash at its end.
    pub(super) fn bucket_url(&self) -> String {
        let endpoint = self.store_endpoint();
        if self.is_virtual { endpoint } else { format!("{endpoint}/{}", self.bucket) }
    }

    /// As `object_store` wants it: with the bucket in front where that is the style.
    pub(super) fn store_endpoint(&self) -> String {
        let mut endpoint = self.endpoint.clone();
        if self.is_virtual {
            let host = endpoint.host_str().unwrap_or_default();
            let host = format!("{}.{host}", self.bucket);
            // The host was good, and so is the bucket's name.
            let _ = endpoint.set_host(Some(&host));
        }
        endpoint.as_str().trim_end_matches('/').to_owned()
    }

    /// The server, for people.
    pub(super) fn server(&self) -> &str {
        self.endpoint.host_str().unwrap_or_default()
    }
}

fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

fn parse_endpoint(text: &str, options: &Options) -> Result<Url> {
    let with_scheme =
        if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let bad = |what: &str| invalid(format!("the endpoint {what}; give https://host:port"));
    let url = Url::parse(&with_scheme).map_err(|error| bad(&format!("is no URL ({error})")))?;
    match url.scheme() {
        "https" => {}
        "http" if options.plain_http => {}
        "http" => {
            return Err(invalid("the endpoint is plain HTTP".to_owned()).with_hint(
                "give https://; or --plain-http, if everybody on the way may read along",
            ));
        }
        _ => return Err(bad("is neither https:// nor http://")),
    }
    if url.username() != "" || url.password().is_some() {
        return Err(bad("holds a user or a password"));
    }
    if url.query().is_some() || url.fragment().is_some() || url.host_str().is_none() {
        return Err(bad("is more than an address"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::{ErrorKind, ParsedUrl};

    fn given(url: &str, plain_http: bool) -> Result<Given> {
        let ParsedUrl::Remote(remote) = ParsedUrl::parse(url)? else {
            panic!("{url} is no folder");
        };
        let options = Options { plain_http, ..Options::default() };
        Given::parse(&remote, &options)
    }

    fn place(url: &str) -> BucketPlace {
        given(url, true).unwrap().complete(None).unwrap()
    }

    #[test]
    fn of_aws() {
        let place = place("s3://bucket/a/b%20c/?region=eu-central-1");
        assert_eq!(place.bucket, "bucket");
        assert_eq!(place.prefix, "a/b c");
        assert_eq!(place.region, "eu-central-1");
        let address = "https://bucket.s3.eu-central-1.amazonaws.com";
        assert_eq!(place.store_endpoint(), address);
        assert_eq!(place.bucket_url(), address);
    }

    #[test]
    fn a_bucket_with_dots_is_in_the_path() {
        let place = place("s3://my.bucket?region=cn-north-1");
        let address = "https://s3.cn-north-1.amazonaws.com.cn";
        assert_eq!(place.store_endpoint(), address);
        assert_eq!(place.bucket_url(), format!("{address}/my.bucket"));
    }

    #[test]
    fn of_another_server() {
        let url = "s3://bucket?endpoint=http://[::1]:9000/base/";
        let place = place(url);
        assert_eq!(place.bucket_url(), "http://[::1]:9000/base/bucket");
        assert_eq!(place.region, "us-east-1");
        let host =
            super::tests::place("s3://bucket?endpoint=s3.example.com&style=virtual&region=x");
        assert_eq!(host.bucket_url(), "https://bucket.s3.example.com");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (url, word) in [
            ("s3://ab", "3 to 63"),
            ("s3://a%2Cbc", "3 to 63"),
            ("s3://bucket?endpoint=", "empty"),
            ("s3://bucket?endpoint=ftp://x", "https://"),
            ("s3://bucket?endpoint=https://me:secret@x", "password"),
            ("s3://bucket?endpoint=https://x/?secret", "address"),
            ("s3://bucket?style=flat", "path or virtual"),
            ("s3://bucket?key=secret", "endpoint"),
        ] {
            let error = given(url, true).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            let text = error.source().unwrap().to_string();
            assert!(text.contains(word) && !text.contains("secret"), "{text}");
        }
        let no_region = given("s3://bucket", true).unwrap().complete(None);
        assert!(no_region.unwrap_err().hint().unwrap().contains("region"));
    }

    #[test]
    fn plain_http_is_asked_for() {
        let url = "s3://bucket?endpoint=http://h";
        let error = given(url, false).unwrap_err();
        assert!(error.hint().unwrap().contains("--plain-http"));
        assert!(given(url, true).is_ok());
    }
}
