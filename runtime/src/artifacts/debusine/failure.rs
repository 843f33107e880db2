//! How requests to the server go wrong.

use super::Problem;
use crate::artifacts::StoreError;
use reqwest::StatusCode;
use std::io;

/// Why a request has no good answer. Every sentence begins with the request.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The request did not reach the server: repeating it is always right.
    #[error("{request}: the server cannot be reached: {reason}")]
    Unreachable {
        /// Method and path.
        request: String,
        /// What the network says.
        reason: String,
    },
    /// The connection broke or nothing came for too long: whether the request was carried out is unknown.
    #[error("{request}: no answer: {reason}")]
    Unanswered {
        /// Method and path.
        request: String,
        /// What the network says.
        reason: String,
    },
    /// The server said no.
    #[error("{request}: refused with status {status}: {problem}")]
    Refused {
        /// Method and path.
        request: String,
        /// 4xx, or 5xx.
        status: StatusCode,
        /// In its words.
        problem: Problem,
    },
    /// The answer is not one that a Debusine server gives.
    #[error("{request}: unexpected answer: {reason}; is api-url that of a Debusine server?")]
    Unexpected {
        /// Method and path.
        request: String,
        /// The status, if that is what was unexpected.
        status: Option<StatusCode>,
        /// What came.
        reason: String,
    },
    /// What came is not what the server promised, again and again.
    #[error("{0}")]
    Damaged(String),
    /// A file of this machine cannot be read or written.
    #[error("{what}: {error}{advice}", advice = disk_advice(.error))]
    File {
        /// What was being done.
        what: String,
        /// What the system says.
        error: io::Error,
    },
}

fn disk_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space",
        _ => "",
    }
}

impl ServerError {
    /// Whether the same request may get a better answer later: the network, an overloaded server, a proxy whose server is away.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unanswered { .. } => true,
            Self::Refused { status, .. } => is_temporary_status(*status),
            Self::Unexpected { status, .. } => status.is_some_and(is_temporary_status),
            Self::Damaged(_) | Self::File { .. } => false,
        }
    }

    /// Whether the server does not accept the token: it is unknown, or the worker is not enabled. It says so in its own words; a proxy that
    /// forbids something is no server that may enable us.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::FORBIDDEN)
    }

    /// Whether this is not what a Debusine server says, but perhaps what a proxy, a wall or a maintenance page says in its place: of the request
    /// itself it tells nothing. That a request is too large for a proxy does.
    pub fn is_odd(&self) -> bool {
        match self {
            Self::Unexpected { status, .. } => {
                !self.is_temporary() && *status != Some(StatusCode::PAYLOAD_TOO_LARGE)
            }
            _ => false,
        }
    }

    /// The status of a refusal.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unexpected { status, .. } => *status,
            _ => None,
        }
    }

    /// The server's own words, if it had any.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused { problem, .. } => Some(problem),
            _ => None,
        }
    }
}

/// 500 too: the server undoes what such a request began.
fn is_temporary_status(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        )
}

impl From<ServerError> for StoreError {
    fn from(error: ServerError) -> Self {
        let words = error.to_string();
        match &error {
            ServerError::Damaged(_) => Self::Damaged(words),
            _ if error.is_temporary() => Self::Unavailable(words),
            _ => match error.status() {
                Some(StatusCode::NOT_FOUND) => Self::NotFound(words),
                Some(StatusCode::BAD_REQUEST | StatusCode::CONFLICT) => Self::Invalid(words),
                _ => Self::Unavailable(words),
            },
        }
    }
}

/// An error of the HTTP client with its causes, as one sentence without the address.
pub(super) fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut advice = certificate_advice(&error);
    let mut cause = std::error::Error::source(&error);
    while let Some(deeper) = cause {
        let more = deeper.to_string();
        if !words.contains(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        advice = advice.or_else(|| certificate_advice(deeper));
        cause = deeper.source();
    }
    if let Some(advice) = advice {
        words.push_str("; ");
        words.push_str(advice);
    }
    words
}

/// What to do about a certificate, if that is what is wrong.
fn certificate_advice(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    // Errors of input and output hide those within: their source is that of the error within.
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return certificate_advice(error.get_ref()?);
    }
    let error = error.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(wrong) = error else {
        return None;
    };
    use rustls::CertificateError as Wrong;
    match wrong {
        Wrong::UnknownIssuer => Some(
            "no authority that this machine trusts has signed the server's certificate: install that authority's with update-ca-certificates, or name a file of it in SSL_CERT_FILE",
        ),
        Wrong::Expired | Wrong::ExpiredContext { .. } => {
            Some("renew the server's certificate; if it is good, set this machine's clock")
        }
        Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => {
            Some("set this machine's clock, or the one where the certificate was made")
        }
        Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
            Some("name the server in api-url as its certificate does")
        }
        _ => None,
    }
}
