//! Compiled code: whose it may be, where it lies, when it is made anew.

use super::*;

#[test]
fn compiled_code_is_private_and_made_anew_when_damaged() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let parent = directory.path().join("cache");
    let place = parent.join("compiled");
    let cache = ComponentCache::new(&place);
    let engine = Engine::new()?;
    let noop = built("noop")?;
    assert!(
        cache.compile(&engine, &noop)?,
        "the first time there is something to do"
    );
    assert!(
        !cache.compile(&engine, &noop)?,
        "the second time there is not"
    );
    assert_eq!(fs::metadata(&place)?.permissions().mode() & 0o777, 0o700);
    assert_ne!(
        fs::metadata(&parent)?.permissions().mode() & 0o005,
        0,
        "sandboxes reach what lies beside it"
    );
    let files: Vec<PathBuf> = fs::read_dir(&place)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    let is_code = |path: &&PathBuf| path.extension().is_some_and(|it| it == "cwasm");
    let compiled = files.iter().find(is_code).expect("one file of code");
    let whole = fs::read(compiled)?;
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let damages: [&[u8]; 3] = [b"damaged", &whole[..whole.len() / 2], &flipped];
    for damaged in damages {
        fs::write(compiled, damaged)?;
        assert!(
            cache.load_compiled(&engine, &noop)?.is_none(),
            "{} bytes",
            damaged.len()
        );
        cache.load(&engine, &noop)?;
        assert!(!cache.compile(&engine, &noop)?, "it has been mended");
    }
    Ok(())
}

/// A cache in which noop is compiled, and where its code is.
fn compiled_noop(place: &Path) -> Result<(ComponentCache, PathBuf)> {
    let cache = ComponentCache::new(place);
    cache.compile(&Engine::new()?, &built("noop")?)?;
    let mut files = fs::read_dir(place)?.flatten().map(|entry| entry.path());
    let code = files.find(|path| path.extension().is_some_and(|it| it == "cwasm"));
    Ok((cache, code.expect("a file of code")))
}

#[test]
fn code_is_not_trusted_where_others_could_write() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let place = directory.path().join("cache");
    let (cache, code) = compiled_noop(&place)?;
    let (engine, noop) = (Engine::new()?, built("noop")?);
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));

    mode(&code, 0o666)?;
    assert!(
        cache.load_compiled(&engine, &noop)?.is_none(),
        "anybody can write the file"
    );
    cache.load(&engine, &noop)?;
    assert_eq!(fs::metadata(&code)?.permissions().mode() & 0o777, 0o600);

    mode(&place, 0o755)?;
    assert!(
        cache.load_compiled(&engine, &noop)?.is_some(),
        "others could read it only"
    );
    assert_eq!(fs::metadata(&place)?.permissions().mode() & 0o777, 0o700);

    mode(&place, 0o777)?;
    assert!(
        cache.load_compiled(&engine, &noop)?.is_none(),
        "whatever lies there may be planted"
    );
    assert!(!code.exists(), "emptied");
    assert_eq!(fs::metadata(&place)?.permissions().mode() & 0o777, 0o700);
    assert!(cache.compile(&engine, &noop)?, "and used again");
    Ok(())
}

#[test]
fn code_of_another_owner_is_not_loaded() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can give files away");
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let place = directory.path().join("cache");
    let (cache, code) = compiled_noop(&place)?;
    let (engine, noop) = (Engine::new()?, built("noop")?);
    std::os::unix::fs::chown(&code, Some(65534), None)?;
    assert!(cache.load_compiled(&engine, &noop)?.is_none());
    cache.load(&engine, &noop)?;
    assert!(cache.load_compiled(&engine, &noop)?.is_some(), "made anew");
    std::os::unix::fs::chown(&place, Some(65534), None)?;
    assert!(
        cache.load_compiled(&engine, &noop)?.is_none(),
        "another user's directory"
    );
    cache.load(&engine, &noop)?;
    Ok(())
}

#[test]
fn a_link_to_code_elsewhere_is_not_followed() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (cache, code) = compiled_noop(&directory.path().join("cache"))?;
    let elsewhere = directory.path().join("elsewhere");
    fs::rename(&code, &elsewhere)?;
    std::os::unix::fs::symlink(&elsewhere, &code)?;
    let (engine, noop) = (Engine::new()?, built("noop")?);
    assert!(cache.load_compiled(&engine, &noop)?.is_none());
    Ok(())
}

#[test]
fn code_that_was_compiled_for_shipping_is_loaded_from_where_only_the_user_can_write() -> Result<()>
{
    let directory = tempfile::tempdir()?;
    let shipped = directory.path().join("compiled");
    let noop = built("noop")?;
    ComponentCache::compile_into(&noop, &shipped)?;
    let cache = ComponentCache::new(&directory.path().join("cache")).with_shipped(&shipped);
    let engine = Engine::new()?;
    assert!(
        cache.load_compiled(&engine, &noop)?.is_some(),
        "without compiling"
    );
    fs::set_permissions(&shipped, fs::Permissions::from_mode(0o777))?;
    assert!(
        cache.load_compiled(&engine, &noop)?.is_none(),
        "anybody can write there"
    );
    Ok(())
}

#[test]
fn code_is_the_same_for_an_engine_with_a_pool_and_one_without() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let cache = ComponentCache::new(directory.path());
    let noop = built("noop")?;
    cache.load(&Engine::new()?, &noop)?;
    let pooled = Engine::with(EngineOptions::SCHEDULER)?;
    assert!(cache.load_compiled(&pooled, &noop)?.is_some());
    Ok(())
}
