//! Promises about files on their way into a sandbox and out of it.

use super::world::World;
use super::*;
use crate::executor::Instance;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

#[tokio::test]
async fn directories_are_pushed_whole_and_belong_to_the_user() {
    let Some(world) = World::new().await else {
        return;
    };
    world.sandbox.create_user(&Abort::new()).await.unwrap();
    let source = tempfile::tempdir().unwrap();
    let pushed = source.path().join("download");
    fs::create_dir_all(pushed.join("a/b")).unwrap();
    fs::write(pushed.join("a/b/file name\nwith a line"), "content").unwrap();
    fs::write(pushed.join("program"), "x").unwrap();
    fs::set_permissions(pushed.join("program"), PermissionsExt::from_mode(0o4750)).unwrap();
    symlink("/etc/shadow", pushed.join("link")).unwrap();
    let long = "long".repeat(40);
    fs::write(pushed.join(&long), "x").unwrap();
    for number in 0..1000 {
        fs::write(pushed.join(format!("{number}.deb")), "small").unwrap();
    }
    // What is in the way is replaced, not followed.
    world.root("ln -s /etc /tmp/download").await;
    world
        .sandbox
        .push_directory(&pushed, Path::new("/tmp"), &Abort::new())
        .await
        .unwrap();
    assert_eq!(
        world.root("stat -c '%U %F' /tmp/download").await,
        "_debusine directory"
    );
    assert_eq!(
        world.root("stat -c '%U %a' /tmp/download/program").await,
        "_debusine 750"
    );
    assert_eq!(
        world.root("stat -c '%U %N' /tmp/download/link").await,
        "_debusine '/tmp/download/link' -> '/etc/shadow'"
    );
    assert_eq!(world.user("cat /tmp/download/a/b/*").await, "content");
    assert_eq!(
        world
            .user(&format!(
                "cat /tmp/download/{long}; ls /tmp/download/*.deb | wc -l"
            ))
            .await,
        "x1000"
    );
    let mtime = fs::metadata(pushed.join("program")).unwrap().mtime();
    assert_eq!(
        world.root("stat -c %Y /tmp/download/program").await,
        mtime.to_string()
    );
    let missing = world
        .sandbox
        .push_directory(Path::new("/no/such"), Path::new("/tmp"), &Abort::new())
        .await;
    assert!(
        matches!(missing, Err(ExecutorError::File(_))),
        "{missing:?}"
    );
    let nowhere = world
        .sandbox
        .push_directory(&pushed, Path::new("/no/such"), &Abort::new())
        .await;
    assert!(
        matches!(nowhere, Err(ExecutorError::File(_))),
        "{nowhere:?}"
    );
    world.end().await;
}

#[tokio::test]
async fn files_and_directories_are_made_as_asked() {
    let Some(world) = World::new().await else {
        return;
    };
    world.sandbox.create_user(&Abort::new()).await.unwrap();
    world
        .sandbox
        .create_directory(Path::new("/tmp/new/execute"), 0o755, &Abort::new())
        .await
        .unwrap();
    assert_eq!(
        world
            .root("stat -c '%U %a' /tmp/new /tmp/new/execute")
            .await,
        "root 755\n_debusine 755"
    );
    assert_eq!(
        world
            .user("cd /tmp/new/execute && touch result && echo $?")
            .await,
        "0"
    );
    let mut there = shell("pwd");
    there.directory = Some("/tmp/new/execute".into());
    assert_eq!(
        output_of(&world.sandbox, there).await.1,
        "/tmp/new/execute\n"
    );
    world.push(b"hello", "/etc/greeting", 0o640).await.unwrap();
    assert_eq!(
        world
            .root("stat -c '%U %a' /etc/greeting; cat /etc/greeting")
            .await,
        "root 640\nhello"
    );
    world.root("ln -s /etc/passwd /tmp/link").await;
    world.push(b"replaced", "/tmp/link", 0o644).await.unwrap();
    assert_eq!(
        world
            .root("cat /tmp/link; wc -l < /etc/passwd")
            .await
            .lines()
            .next(),
        Some("replaced2")
    );
    world.end().await;
}

#[tokio::test]
async fn only_plain_files_are_taken_out() {
    let Some(world) = World::new().await else {
        return;
    };
    world
        .root(
            "cd /tmp; echo plain > plain; ln -s plain link; ln -s /etc/passwd absolute; ln -s ../../../../etc up; mkfifo fifo; mkdir directory; \
             ln plain hard; ln -s /proc/self magic; ln -s /tmp around",
        )
        .await;
    assert_eq!(world.pull("/tmp/plain").await.unwrap(), b"plain\n");
    assert_eq!(world.pull("/tmp/hard").await.unwrap(), b"plain\n");
    // A link on the way is the sandbox's own business: it leads to the sandbox's files only.
    assert_eq!(world.pull("/tmp/around/plain").await.unwrap(), b"plain\n");
    assert!(
        world
            .pull("/tmp/up/passwd")
            .await
            .unwrap()
            .starts_with(b"root:x:0:0:root:/root:/bin/sh\n")
    );
    for path in [
        "/tmp/link",
        "/tmp/absolute",
        "/tmp/fifo",
        "/tmp/directory",
        "/dev/null",
        "/dev/zero",
        "/tmp/../etc/passwd",
        "etc/passwd",
        "/",
        "",
        "/tmp/missing",
        "/proc/1/environ",
        "/proc/self/environ",
        "/tmp/magic/environ",
        "/proc/self/root/etc/passwd",
        "/proc/self/fd/0",
    ] {
        match world.pull(path).await {
            Err(ExecutorError::File(_)) => {}
            other => panic!("{path}: {other:?}"),
        }
    }
    world.end().await;
}

#[tokio::test]
async fn sparse_files_stay_sparse_and_huge_ones_are_refused() {
    let Some(world) = World::with(|options| options.largest_pull = 1 << 30).await else {
        return;
    };
    world
        .root("cd /tmp; truncate -s 500M sparse; echo end >> sparse; truncate -s 1T huge")
        .await;
    let target = tempfile::tempfile().unwrap();
    world
        .sandbox
        .pull_file(
            Path::new("/tmp/sparse"),
            target.try_clone().unwrap(),
            &Abort::new(),
        )
        .await
        .unwrap();
    let metadata = target.metadata().unwrap();
    assert_eq!(metadata.len(), (500 << 20) + 4);
    assert!(metadata.blocks() * 512 < 1 << 20);
    assert!(matches!(
        world.pull("/tmp/huge").await,
        Err(ExecutorError::File(_))
    ));
    world.end().await;
}

#[tokio::test]
async fn names_of_every_kind_and_setuid_files_are_taken_out_as_plain_bytes() {
    let Some(world) = World::new().await else {
        return;
    };
    let long = "n".repeat(255);
    let names: [&[u8]; 7] = [
        b"-rf",
        b"two\nlines",
        b" ",
        b"%s%n",
        b"$(id)",
        long.as_bytes(),
        b"\xff\xfe",
    ];
    let script = r#"chdir "/tmp"; for (@ARGV) { open my $file, ">", $_ or die "$_: $!"; print $file "odd" }"#;
    let mut make = command(["env", "LC_ALL=C", "perl", "-e", script, "--"]);
    make.arguments
        .extend(names.map(|name| OsStr::from_bytes(name).to_owned()));
    make.as_root = true;
    assert_eq!(output_of(&world.sandbox, make).await.1, "");
    world.root("cp /bin/true /tmp/su; chmod 6755 /tmp/su").await;
    for name in names {
        let path = Path::new("/tmp").join(OsStr::from_bytes(name));
        let mut file = tempfile::tempfile().unwrap();
        let pulled = world
            .sandbox
            .pull_file(&path, file.try_clone().unwrap(), &Abort::new())
            .await;
        assert!(pulled.is_ok(), "{path:?}: {pulled:?}");
        let mut bytes = Vec::new();
        std::io::Seek::rewind(&mut file).unwrap();
        std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
        assert_eq!(bytes, b"odd", "{path:?}");
    }
    assert_eq!(world.root("stat -c %a /tmp/su").await, "6755");
    let target = world.directory.path().join("su");
    fs::write(&target, "").unwrap();
    fs::set_permissions(&target, PermissionsExt::from_mode(0o600)).unwrap();
    let file = fs::File::options().write(true).open(&target).unwrap();
    world
        .sandbox
        .pull_file(Path::new("/tmp/su"), file, &Abort::new())
        .await
        .unwrap();
    let pulled = fs::metadata(&target).unwrap();
    assert_eq!(pulled.mode() & 0o7777, 0o600);
    assert_eq!(pulled.uid(), nix::unistd::geteuid().as_raw());
    assert!(pulled.len() > 1000);
    world.end().await;
}

#[tokio::test]
async fn a_file_that_is_exchanged_while_it_is_taken_out_is_one_or_the_other() {
    let Some(world) = World::new().await else {
        return;
    };
    let exchange = "cd /tmp; ln -s /etc/secret swap-link; mkfifo swap-fifo; while :; do \
        cp -f plain swap; cp -P swap-link new; mv -f new swap; done";
    world
        .root("cd /tmp; dd if=/dev/zero of=plain bs=1M count=64 2>/dev/null; cp plain swap")
        .await;
    // While a command runs, files wait for it; and nobody goes on exchanging after its command.
    let mut swapper = shell(exchange);
    swapper.as_root = true;
    swapper.timeout = Some(Duration::from_millis(300));
    swapper.stderr = Stderr::Discard;
    let never = Abort::new();
    let (exit, pulled) = tokio::join!(world.sandbox.run(swapper, &never), world.pull("/tmp/swap"));
    assert_eq!(exit.unwrap(), Exit::TimedOut);
    match pulled {
        Ok(bytes) => assert!(bytes.iter().all(|&byte| byte == 0)),
        Err(error) => assert!(matches!(error, ExecutorError::File(_)), "{error:?}"),
    }
    // What has been opened is what is read, whatever takes its name or is done to it meanwhile.
    world.root("rm -f /tmp/swap; cp /tmp/plain /tmp/swap").await;
    let mut swapper = shell("cd /tmp; rm -f swap; ln -s /etc/secret swap; truncate -s 1G plain");
    swapper.as_root = true;
    let (pulled, exit) = tokio::join!(world.pull("/tmp/swap"), world.sandbox.run(swapper, &never));
    assert_eq!(exit.unwrap(), Exit::Exited(0));
    let bytes = pulled.unwrap();
    assert_eq!(bytes.len(), 64 << 20);
    assert!(bytes.iter().all(|&byte| byte == 0));
    world.end().await;
}

#[tokio::test]
async fn a_hostile_archive_reaches_nothing_outside_the_sandbox() {
    use super::images::Archive;
    use std::os::fd::AsFd;
    use tar::EntryType;
    let Some(world) = World::new().await else {
        return;
    };
    world.sandbox.create_user(&Abort::new()).await.unwrap();
    let outside = world.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::set_permissions(&outside, PermissionsExt::from_mode(0o777)).unwrap();
    let text = outside.to_str().unwrap();
    let unpack = async |archive: Vec<u8>| {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &archive).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        world
            .sandbox
            .unpack(file.as_fd(), Path::new("/tmp"), &Abort::new())
            .await
    };
    for leading_out in [
        Archive::new().file("in/../../etc/passwd", b"x").finish(),
        Archive::new().file("../etc/passwd", b"x").finish(),
        Archive::new()
            .add(EntryType::Link, "in/hard", b"../../etc/secret", 0o644, 0)
            .finish(),
    ] {
        let refused = unpack(leading_out).await;
        assert!(
            refused.is_err_and(|error| error.to_string().contains("leads out")),
            "an entry that leads out is refused"
        );
    }
    let truncated = Archive::new().file("in/file", &[b'x'; 4096]).finish();
    assert!(unpack(truncated[..2048].to_vec()).await.is_err());
    let links = Archive::new()
        .symlink("in/way", text)
        .file("in/way/out", b"x")
        .finish();
    let _ = unpack(links).await;
    let up = Archive::new()
        .symlink("in/up", "../../../../../..")
        .file(&format!("in/up{text}/out"), b"x")
        .finish();
    let _ = unpack(up).await;
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    let rest = Archive::new()
        .add(EntryType::Regular, "in/su", b"x", 0o6755, 0)
        .add(EntryType::Char, "in/null", b"", 0o666, 0)
        .add(EntryType::Block, "in/disk", b"", 0o666, 0)
        .file("/in/absolute", b"x")
        .finish();
    unpack(rest).await.unwrap();
    assert_eq!(
        world
            .root("stat -c '%a %U' /tmp/in/su; cd /tmp/in; ls absolute null disk 2>/dev/null")
            .await,
        "755 _debusine\nabsolute"
    );
    world.end().await;
}
