//! What an S3 server says in XML when it refuses. The words are AWS's; other servers use the same,
//! and have some of their own.

use serde::Deserialize;

/// No answer is parsed that is longer, in bytes.
const MAX_LEN: usize = 64 << 10;

/// An error as the body of an answer: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Answer {
    pub(super) code: String,
    pub(super) message: String,
    /// Where the bucket is.
    pub(super) region: Option<String>,
    /// The server's clock.
    pub(super) server_time: Option<String>,
    /// The client's clock.
    pub(super) request_time: Option<String>,
}

impl Answer {
    /// What can be read of a body; a body that is no such XML says nothing.
    pub(super) fn parse(body: &str) -> Self {
        if body.len() > MAX_LEN {
            return Self::default();
        }
        quick_xml::de::from_str(body).unwrap_or_default()
    }

    /// For people: one line, without what a terminal would act on.
    pub(super) fn text(&self) -> Option<String> {
        let text = match (self.code.as_str(), self.message.as_str()) {
            ("", "") => return None,
            (code, "") => code.to_owned(),
            ("", message) => message.to_owned(),
            (code, message) => format!("{code}: {message}"),
        };
        let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        Some(plain.take(400).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_error_of_aws() {
        let answer = Answer::parse(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>AuthorizationHeaderMalformed</Code><Message>wrong; expecting 'eu-west-1'</Message>
<Region>eu-west-1</Region><RequestId>X</RequestId><HostId>Y</HostId></Error>"#,
        );
        assert_eq!(answer.code, "AuthorizationHeaderMalformed");
        assert_eq!(answer.region.as_deref(), Some("eu-west-1"));
        let text = answer.text().unwrap();
        assert_eq!(text, "AuthorizationHeaderMalformed: wrong; expecting 'eu-west-1'");
    }

    #[test]
    fn what_is_no_error_says_nothing() {
        for body in ["", "<html>", "not found", "<Error>", &"<".repeat(100_000)] {
            assert_eq!(Answer::parse(body).text(), None, "{body:.20}");
        }
        let long = format!("<Error><Message>{}</Message></Error>", "x\u{1b}".repeat(1000));
        let text = Answer::parse(&long).text().unwrap();
        assert!(text.len() <= 400 && !text.contains('\u{1b}'));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(body in "[<>/A-Za-z&;#\"=! -]{0,200}") {
            let _ = Answer::parse(&body).text();
            let _ = Answer::parse(&format!("<Error><Code>{body}</Code></Error>")).text();
        }
    }
}
