//! Error answers as lakeFS words them: JSON on the API (pkg/httputil/writers.go), XML on the S3 gateway (pkg/gateway/errors). Pure.

use http::{HeaderMap, Response, StatusCode, header};

use super::classify::Target;

/// lakeFS's text of every failed authentication (pkg/api/auth_middleware.go). The web UI logs the user out on exactly this.
pub const UNAUTHENTICATED: &str = "error authenticating request";

/// An API error: exactly `application/json` (the UI compares with `===`), `nosniff`, and a line feed after the object.
pub fn rest_error(status: StatusCode, message: &str) -> Response<String> {
    let body = format!("{}\n", serde_json::json!({ "message": message }));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let head = response.headers_mut();
    head.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    head.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        header::HeaderValue::from_static("nosniff"),
    );
    response
}

/// The media type of an S3 error by the request's `Accept` (`setDefaultContentType`, pkg/gateway/handler.go): exact names only, and Go's
/// own guess where none fits.
pub fn xml_type(request: &HeaderMap) -> &'static str {
    let accept = request.get_all(header::ACCEPT);
    if accept.iter().next().is_none() {
        return "application/xml";
    }
    ["application/xml", "text/xml"]
        .into_iter()
        .find(|supported| {
            let named = |value: &header::HeaderValue| {
                let mut types = value.as_bytes().split(|byte| *byte == b',');
                types.any(|name| name.trim_ascii() == supported.as_bytes())
            };
            accept.iter().any(named)
        })
        .unwrap_or("text/xml; charset=utf-8")
}

/// An S3 error, with S3's code (pkg/gateway/errors/errors.go:36-46), as [`xml_type`] says.
pub fn s3_error(
    xml_type: &'static str,
    status: StatusCode,
    code: &str,
    message: &str,
    resource: Option<&Target>,
    request_id: &str,
) -> Response<String> {
    let (bucket, key) = resource.map_or((String::new(), String::new()), |target| {
        let key = [target.reference.as_deref(), target.path.as_deref()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("/");
        (target.repository.clone(), key)
    });
    let mut body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>",
        escape(code),
        escape(message)
    );
    if !bucket.is_empty() {
        body += &format!("<BucketName>{}</BucketName>", escape(&bucket));
    }
    body += &format!(
        "<Resource>/{}/{}</Resource><Region></Region>",
        escape(&bucket),
        escape(&key)
    );
    body += &format!("<RequestId>{}</RequestId><HostId></HostId></Error>", escape(request_id));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let content_type = header::HeaderValue::from_static(xml_type);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// Text for an XML element; characters XML 1.0 cannot hold become U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}' => {
                escaped.push(c)
            }
            _ => escaped.push('\u{fffd}'),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_errors_are_lakefs_to_the_byte() {
        let response = rest_error(StatusCode::UNAUTHORIZED, UNAUTHENTICATED);
        assert_eq!(response.body(), "{\"message\":\"error authenticating request\"}\n");
        assert_eq!(response.body().len(), 43);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    }

    /// Live, section 9.
    #[test]
    fn accept_decides_the_media_type_of_an_s3_error() {
        let chosen = |lines: &[&'static str]| {
            let lines = lines
                .iter()
                .map(|line| (header::ACCEPT, header::HeaderValue::from_static(line)));
            xml_type(&lines.collect())
        };
        assert_eq!(chosen(&[]), "application/xml");
        assert_eq!(chosen(&["application/xml"]), "application/xml");
        assert_eq!(chosen(&["text/html, text/xml"]), "text/xml");
        assert_eq!(chosen(&["text/xml", "application/xml"]), "application/xml");
        for other in ["*/*", "application/json", "application/xml;q=0.9", ""] {
            assert_eq!(chosen(&[other]), "text/xml; charset=utf-8", "{other}");
        }
    }

    #[test]
    fn s3_errors_are_well_formed_whatever_the_key() {
        let target = Target {
            role: super::super::Role::Subject,
            repository: "r".into(),
            reference: Some("main".into()),
            path: Some("a<&\u{1}>".into()),
        };
        let response = s3_error(
            "text/xml",
            StatusCode::FORBIDDEN,
            "AccessDenied",
            "no",
            Some(&target),
            "id",
        );
        assert!(
            response
                .body()
                .contains("<Resource>/r/main/a&lt;&amp;\u{fffd}&gt;</Resource>")
        );
    }
}
