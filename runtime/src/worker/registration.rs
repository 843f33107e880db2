//! Registration: a worker makes its own secret and tells the server, once. An operator of the server enables it afterwards.

use crate::artifacts::debusine::{Server, ServerError};
use crate::host::tool::{BRIEFLY, ask};
use rand::TryRngCore;
use reqwest::{Method, StatusCode};
use serde_json::json;

/// The longest name that the server takes.
const LONGEST_NAME: usize = 400;

/// Why a worker is not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// The system has no randomness.
    #[error("cannot make a token: {0}; is /dev/urandom there?")]
    Randomness(rand::rand_core::OsError),
    /// The server did not accept it.
    #[error("registration failed: {0}")]
    Server(#[from] ServerError),
}

/// Registers this machine and returns its token. It is not tried twice: an attempt has a token of its own, since a server that sees one for
/// the second time stops answering (Debusine 0.11.3).
pub async fn register(
    server: &Server,
    activation_token: Option<&str>,
    name: &str,
    worker_type: &str,
) -> Result<String, RegistrationError> {
    let token = new_token()?;
    let server = match activation_token {
        Some(token) => server.clone().with_token(token)?,
        None => server.clone(),
    };
    let name: String = name.chars().take(LONGEST_NAME).collect();
    let body = json!({"token": token, "fqdn": name, "worker_type": worker_type});
    let answer = server
        .once(Method::POST, "/worker/register/", Some(&body))
        .await?;
    match answer.status {
        StatusCode::CREATED => Ok(token),
        status => Err(answer.unexpected(format!("status {status}")).into()),
    }
}

/// 32 random bytes as 64 lower-case hexadecimal digits.
fn new_token() -> Result<String, RegistrationError> {
    let mut bytes = [0; 32];
    rand::rngs::OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(RegistrationError::Randomness)?;
    Ok(hex::encode(bytes))
}

/// The machine's name with its domain, as Python's `socket.getfqdn` finds it: what the names of this machine's address are.
pub fn fully_qualified_name() -> String {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let host = host.to_string_lossy().into_owned();
    let address = hosts(&host).into_iter().next();
    let names = address.map(|address| hosts(&address)).unwrap_or_default();
    // Of `ADDRESS NAME ALIAS…`, the first with a dot, else the first.
    let qualified = names.iter().skip(1).find(|name| name.contains('.'));
    let found = qualified.or(names.get(1)).cloned();
    found.unwrap_or(host)
}

/// The words of getent(1): an address and its names; none if nobody knows, or the name server does not answer.
fn hosts(key: &str) -> Vec<String> {
    let printed = ask("getent", &["hosts", key], BRIEFLY).unwrap_or_default();
    let line = printed.lines().next().unwrap_or_default();
    line.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_hexadecimal_and_never_the_same() {
        let token = || new_token().expect("randomness");
        let (one, other) = (token(), token());
        assert_eq!(one.len(), 64);
        assert!(
            one.bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        );
        assert_ne!(one, other);
    }

    #[test]
    fn this_machine_has_a_name() {
        assert!(!fully_qualified_name().is_empty());
    }
}
