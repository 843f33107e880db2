//! TLS: whom the program trusts, and what it says of those whom it does not.

use crate::{program_trial, report};
use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use serde_json::json;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use task_runtime_tests::fake_server::{FakeServer, work_request};
use task_runtime_tests::worker_program::{Process, WorkerProgram};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

pub fn trials() -> Vec<Trial> {
    vec![
        program_trial(
            "a_private_authority_is_trusted_when_it_is_named",
            private_authority,
        ),
        program_trial("the_system_s_authorities_are_trusted", system_authorities),
        program_trial("an_unknown_authority_is_not_trusted", unknown_authority),
        program_trial("an_expired_certificate_is_told", expired),
        program_trial(
            "a_certificate_that_is_not_valid_yet_is_told_and_the_clock_with_it",
            not_yet,
        ),
        program_trial("the_certificate_of_another_host_is_told", wrong_host),
        program_trial("a_server_without_tls_is_told", no_tls),
        program_trial(
            "a_machine_that_trusts_nobody_is_told_and_needs_nobody_without_tls",
            nobody,
        ),
    ]
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Result<Authority> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// A good certificate, but for what a test wants to be wrong.
fn certificate() -> Result<CertificateParams> {
    Ok(CertificateParams::new(vec!["localhost".to_owned()])?)
}

/// Before the server, as a proxy is that speaks TLS for it. It ends with the test.
struct Front {
    address: SocketAddr,
}

impl Front {
    async fn of(
        server: &FakeServer,
        authority: &Authority,
        certificate: CertificateParams,
    ) -> Result<Self> {
        let key = KeyPair::generate()?;
        let signed = certificate.signed_by(&key, authority)?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![signed.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?,
            )?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let behind = server.address();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Who does not trust it hangs up.
                    let mut stream = acceptor.accept(stream).await?;
                    let mut inner = TcpStream::connect(behind).await?;
                    copy_bidirectional(&mut stream, &mut inner).await
                });
            }
        });
        Ok(Self { address })
    }

    fn worker(&self) -> Result<WorkerProgram> {
        WorkerProgram::at(&format!("https://localhost:{}/api", self.address.port()))
    }
}

/// What `--check` says of the server to whom this authority is known.
async fn checked(worker: &WorkerProgram, known: &Authority) -> Result<String> {
    let mut command = worker.command(&["--check"])?;
    command.env("SSL_CERT_FILE", roots(worker, known)?);
    let output = command.output().await?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = told.lines().find(|line| line.contains("  server "));
    Ok(line.unwrap_or(&told).to_owned())
}

/// A file of those who are trusted.
fn roots(worker: &WorkerProgram, known: &Authority) -> Result<std::path::PathBuf> {
    let path = worker.place("roots.pem");
    let certificate: &rcgen::Certificate = known.as_ref();
    fs::write(&path, certificate.pem())?;
    Ok(path)
}

async fn private_authority() -> Result<()> {
    let server = FakeServer::start().await?;
    let authority = authority("private")?;
    let front = Front::of(&server, &authority, certificate()?).await?;
    let worker = front.worker()?;
    let told = checked(&worker, &authority).await?;
    ensure!(told.starts_with("good"), "{told}");
    // The websocket goes the same way.
    let mut command = worker.command(&[])?;
    command.env("SSL_CERT_FILE", roots(&worker, &authority)?);
    let process = command.stderr(worker.log_file()?).spawn()?;
    let _process = Process(process);
    server.hand_out(work_request(1, "noop", json!({})));
    ensure!(report(&server, 1).await["result"] == "success");
    Ok(())
}

/// Where Debian keeps the certificates of the authorities that a machine trusts.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

async fn system_authorities() -> Result<()> {
    let server = FakeServer::start().await?;
    let authority = authority("private")?;
    let front = Front::of(&server, &authority, certificate()?).await?;
    let worker = front.worker()?;
    let ours = roots(&worker, &authority)?.display().to_string();
    // As after update-ca-certificates, for this process alone.
    let script = format!("mount --bind {ours} {SYSTEM} && exec \"$@\"");
    let outer = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        &script,
        "sh",
    ];
    let tried = Command::new(outer[0])
        .args(&outer[1..])
        .arg("true")
        .output();
    if !tried.await.is_ok_and(|it| it.status.success()) {
        eprintln!("skipped: {SYSTEM} is not there, or nothing can be mounted in its place");
        return Ok(());
    }
    let told = async |mut command: Command| -> Result<String> {
        command
            .env_remove("SSL_CERT_FILE")
            .env_remove("SSL_CERT_DIR");
        let output = command.output().await?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let without = told(worker.command(&["--check"])?).await?;
    ensure!(without.contains("update-ca-certificates"), "{without}");
    let with = told(worker.command_within(&outer, &["--check"])?).await?;
    ensure!(with.contains("a Debusine server answers"), "{with}");
    Ok(())
}

async fn unknown_authority() -> Result<()> {
    let server = FakeServer::start().await?;
    let front = Front::of(&server, &authority("private")?, certificate()?).await?;
    let told = checked(&front.worker()?, &authority("another")?).await?;
    ensure!(told.starts_with("bad"), "{told}");
    ensure!(told.contains("UnknownIssuer"), "{told}");
    ensure!(
        told.contains("no authority that this machine trusts"),
        "{told}"
    );
    ensure!(server.state().requests.is_empty());
    Ok(())
}

async fn expired() -> Result<()> {
    let server = FakeServer::start().await?;
    let authority = authority("private")?;
    let mut old = certificate()?;
    old.not_before = date_time_ymd(2019, 1, 1);
    old.not_after = date_time_ymd(2020, 1, 1);
    let front = Front::of(&server, &authority, old).await?;
    let told = checked(&front.worker()?, &authority).await?;
    ensure!(told.starts_with("bad"), "{told}");
    ensure!(told.contains("expired"), "{told}");
    ensure!(told.contains("renew the server's certificate"), "{told}");
    Ok(())
}

async fn not_yet() -> Result<()> {
    let server = FakeServer::start().await?;
    let authority = authority("private")?;
    let mut early = certificate()?;
    early.not_before = date_time_ymd(2999, 1, 1);
    early.not_after = date_time_ymd(3000, 1, 1);
    let front = Front::of(&server, &authority, early).await?;
    let told = checked(&front.worker()?, &authority).await?;
    ensure!(told.starts_with("bad"), "{told}");
    ensure!(told.contains("not valid yet"), "{told}");
    ensure!(told.contains("set this machine's clock"), "{told}");
    Ok(())
}

async fn wrong_host() -> Result<()> {
    let server = FakeServer::start().await?;
    let authority = authority("private")?;
    let other = CertificateParams::new(vec!["elsewhere.example.org".to_owned()])?;
    let front = Front::of(&server, &authority, other).await?;
    let told = checked(&front.worker()?, &authority).await?;
    ensure!(told.starts_with("bad"), "{told}");
    ensure!(told.contains("not valid for name \"localhost\""), "{told}");
    Ok(())
}

async fn no_tls() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::at(&server.api_url().replace("http://", "https://"))?;
    let told = checked(&worker, &authority("another")?).await?;
    ensure!(told.starts_with("bad"), "{told}");
    ensure!(told.contains("cannot be reached"), "{told}");
    Ok(())
}

async fn nobody() -> Result<()> {
    let server = FakeServer::start().await?;
    let authority = authority("private")?;
    let front = Front::of(&server, &authority, certificate()?).await?;
    let told = async |worker: &WorkerProgram| -> Result<String> {
        let mut command = worker.command(&["--check"])?;
        command.env("SSL_CERT_FILE", "/nonexistent");
        command.env("SSL_CERT_DIR", "/nonexistent");
        let output = command.output().await?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let with_tls = told(&front.worker()?).await?;
    ensure!(with_tls.contains("No CA certificates"), "{with_tls}");
    let without = told(&WorkerProgram::of(&server)?).await?;
    ensure!(without.contains("a Debusine server answers"), "{without}");
    Ok(())
}
