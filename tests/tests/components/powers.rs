//! What built-in tasks need, and that what was loaded keeps its own powers.

use super::*;

#[test]
fn built_in_tasks_say_what_they_need() -> Result<()> {
    let noop = Manifest::of(&built("noop")?)?;
    assert_eq!(noop.task.as_deref(), Some("noop"));
    assert!(noop.sdk.is_some_and(|sdk| sdk.starts_with("task-sdk ")));
    assert_eq!(noop.needs, Some(Needs::default()), "it needs nothing");
    Ok(())
}

/// Programs, environments, network, http, uploads: who asks for more must say here why it does not work with less.
#[test]
fn built_in_tasks_carry_the_least_that_works() -> Result<()> {
    let debefivm = "/usr/share/debusine-worker/debefivm-create dpkg-query qemu-img tar";
    let binaries = "debian:binary-package debian:binary-packages debian:package-build-log debian:upload debusine:signing-input";
    let least = [
        // Installs the build dependencies of a template in the environment.
        (
            "assemblesignedsource",
            "",
            "environments network",
            "debian:source-package debian:upload",
        ),
        (
            "autopkgtest",
            "autopkgtest",
            "environments",
            "debian:autopkgtest",
        ),
        // These four install their tool in the environment.
        ("blhc", "", "environments network", "debian:blhc"),
        ("debdiff", "", "environments network", "debian:debdiff"),
        ("lintian", "", "environments network", "debian:lintian"),
        ("piuparts", "", "environments network", ""),
        (
            "extractforsigning",
            "",
            "environments",
            "debusine:signing-input",
        ),
        (
            "makesourcepackageupload",
            "",
            "environments",
            "debian:upload",
        ),
        ("mergeuploads", "", "", "debian:upload"),
        // Keyrings by URL.
        (
            "mmdebstrap",
            "mmdebstrap dpkg-query",
            "http",
            "debian:system-tarball",
        ),
        (
            "simplesystemimagebuild",
            debefivm,
            "http",
            "debian:system-image",
        ),
        ("noop", "", "", ""),
        // The environment is prepared, not started: sbuild does that.
        ("sbuild", "sbuild", "environments", binaries),
    ];
    let registry = registry()?;
    let built = registry.tasks().map(|(name, _)| name);
    let built: Vec<_> = built
        .filter(|it| it != "hostile" && it != "scripted")
        .collect();
    assert_eq!(built.len(), least.len(), "{built:?}");
    for (name, commands, powers, uploads) in least {
        let loaded = registry.load(name)?;
        let needs = loaded.manifest.needs.clone().expect("it says");
        assert_eq!(needs.commands.join(" "), commands, "{name}");
        let asked = [
            ("environments", needs.environments),
            ("network", needs.network),
            ("http", needs.http),
        ];
        let asked = asked.iter().filter(|(_, it)| *it).map(|(power, _)| *power);
        assert_eq!(asked.collect::<Vec<_>>().join(" "), powers, "{name}");
        assert_eq!(needs.uploads.join(" "), uploads, "{name}");
        // And of what it asks for it imports all.
        let granted = self::powers(&registry, &loaded)?.len();
        let asked = needs.commands.len() + needs.uploads.len() + powers.split_whitespace().count();
        assert_eq!(granted, asked, "{name}");
    }
    Ok(())
}

/// What a task may use of its worker, as `inspect` shows it.
fn powers(registry: &Registry, loaded: &LoadedComponent) -> Result<Vec<String>> {
    let engine = registry.engine();
    let component =
        TaskComponent::granted(engine, &Linkers::new(engine)?, loaded, &Arc::default())?;
    let grants = component.grants().expect("it was asked");
    let granted = grants.uses().iter().filter(|it| it.granted);
    Ok(granted
        .map(|it| format!("{:?} {}", it.capability, it.value.as_deref().unwrap_or("*")))
        .collect())
}

#[test]
fn what_was_loaded_keeps_its_own_powers_when_the_files_are_replaced() -> Result<()> {
    let guest = |name: &str| fs::read(built(name)?).map_err(anyhow::Error::from);
    let (hostile, sbuild, noop) = (guest("hostile")?, guest("sbuild")?, guest("noop")?);
    let shelf = Shelf::new()?;
    let cache = ComponentCache::new(&shelf.directory.path().join("cache"));
    let directories = [shelf.directory.path().to_owned()];
    let registry = Registry::open(Engine::new()?, cache, &directories)?;
    // With a manifest of its own, and with one beside it.
    shelf.put("sbuild.wasm", &sbuild)?;
    shelf.put("hostile.wasm", &hostile)?;
    shelf.put("hostile.manifest", b"Commands: true\n")?;
    let (own, beside) = (registry.load("sbuild")?, registry.load("hostile")?);
    let before = [powers(&registry, &own)?, powers(&registry, &beside)?];
    assert!(
        before[0].contains(&"Command sbuild".to_owned()),
        "{before:?}"
    );
    assert_eq!(before[1], ["Command true"]);

    let changes: [&dyn Fn() -> Result<()>; 3] = [
        // Others with the same names.
        &|| {
            shelf.put("sbuild.wasm", &noop)?;
            shelf.put("hostile.wasm", &noop)?;
            shelf
                .put("hostile.manifest", b"HTTP: yes\nCommands: rm\n")
                .map(drop)
        },
        // No manifest: it would ask for all that it imports.
        &|| {
            Ok(fs::remove_file(
                shelf.directory.path().join("hostile.manifest"),
            )?)
        },
        &|| {
            Ok(fs::remove_file(
                shelf.directory.path().join("hostile.wasm"),
            )?)
        },
    ];
    for change in changes {
        change()?;
        assert_eq!(
            [powers(&registry, &own)?, powers(&registry, &beside)?],
            before
        );
    }
    // Who loads again gets what is there now, all of it.
    let now = registry.load("sbuild")?;
    assert_ne!(now.digest, own.digest);
    assert_eq!(
        (now.manifest.task.as_deref(), powers(&registry, &now)?),
        (Some("noop"), Vec::new())
    );
    Ok(())
}

/// What is remembered of a file that has lain there for a while is as good as the file.
#[test]
fn a_component_that_is_not_read_again_has_the_manifest_that_it_had() -> Result<()> {
    let shelf = Shelf::new()?;
    let cache = ComponentCache::new(&shelf.directory.path().join("cache"));
    let engine = Engine::new()?;
    let hostile = shelf.put("hostile.wasm", &fs::read(built("hostile")?)?)?;
    let noop = shelf.put("noop.wasm", &fs::read(built("noop")?)?)?;
    // Files that have just been written are read each time.
    std::thread::sleep(std::time::Duration::from_secs(4));
    for path in [&hostile, &noop] {
        let read = cache.load(&engine, path)?;
        let recalled = cache.load(&engine, path)?;
        assert_eq!(recalled.manifest, read.manifest);
        assert_eq!(recalled.manifest, Manifest::of(path)?);
        assert_eq!(recalled.digest, read.digest);
    }
    let seen = fs::read_dir(shelf.directory.path().join("cache"))?.flatten();
    let seen = seen.filter(|it| it.path().extension().is_some_and(|it| it == "seen"));
    assert_eq!(seen.count(), 4, "two components, and the code of each");
    // The one beside is looked at each time.
    shelf.put("hostile.manifest", b"HTTP: yes\n")?;
    let needs = cache
        .load(&engine, &hostile)?
        .manifest
        .needs
        .expect("it says");
    assert!(needs.http);
    Ok(())
}
