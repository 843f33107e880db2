//! Single and multiple look-ups, environments, settings.

use super::fixture::{Fixture, new_artifact, relation, test_artifact};
use crate::artifacts::local::{EnvironmentVariables, NewWorkRequest};
use crate::artifacts::{ArtifactId, ArtifactStore, RelationType, StoreError, TaskDatabase};
use serde_json::{Value, json};

const ENVIRONMENTS: Option<&str> = Some("debian:environments");

impl Fixture {
    async fn single(&self, lookup: &Value) -> Result<ArtifactId, StoreError> {
        let found = self.store.lookup_single(lookup, ENVIRONMENTS).await?;
        Ok(found.id)
    }

    async fn environment(&self, filters: &str) -> Result<ArtifactId, StoreError> {
        self.single(&json!(format!("debian/match{filters}"))).await
    }

    async fn multiple(&self, lookup: Value) -> Result<Vec<u64>, StoreError> {
        let found = self.store.lookup_multiple(&lookup, None).await?;
        Ok(found.into_iter().map(|artifact| artifact.id.0).collect())
    }

    async fn tie(&self, id: ArtifactId, backend: &str) {
        let variables = EnvironmentVariables {
            backend: Some(backend.to_owned()),
            ..EnvironmentVariables::default()
        };
        self.store.add_environment(id, variables).await.unwrap();
    }
}

#[tokio::test]
async fn an_id_or_a_name_names_one_artifact() {
    let fixture = Fixture::new();
    let names = vec!["hello".to_owned()];
    let id = fixture
        .store
        .import(test_artifact(&[]), names)
        .await
        .unwrap();
    for lookup in [
        json!(1),
        json!("1"),
        json!(" +1 "),
        json!(true),
        json!(1.9),
        json!("hello"),
    ] {
        assert_eq!(fixture.single(&lookup).await.unwrap(), id, "{lookup}");
    }
}

#[tokio::test]
async fn a_lookup_without_a_match_is_named_with_what_exists() {
    let fixture = Fixture::new();
    fixture
        .add_tarball("bookworm", "amd64", Some("buildd"))
        .await;
    let names = vec!["hello".to_owned()];
    fixture
        .store
        .import(test_artifact(&[]), names)
        .await
        .unwrap();
    let cases = [
        (json!(77), "artifact 77"),
        (json!(-3), "artifact -3"),
        (
            json!("helo"),
            "look-up helo: no artifact has that name; names are given at import, and there are: hello",
        ),
        (
            json!("ubuntu/match:codename=noble"),
            "it has debian@debian:environments",
        ),
        (
            json!("debian@debian:suite/name:x"),
            "it has debian@debian:environments",
        ),
        (
            json!("debian/match:codename=sid"),
            "bookworm amd64 buildd (tarball, artifact 1)",
        ),
        (
            json!("debian/name:sid"),
            "bookworm-amd64-tarball-variant-buildd",
        ),
    ];
    for (lookup, words) in cases {
        let error = fixture.single(&lookup).await.unwrap_err();
        assert!(
            matches!(error, StoreError::NotFound(_)),
            "{lookup}: {error}"
        );
        assert!(error.to_string().contains(words), "{lookup}: {error}");
    }
}

#[tokio::test]
async fn a_lookup_that_makes_no_sense_is_refused() {
    let fixture = Fixture::new();
    let refused = [
        json!(null),
        json!([1]),
        json!("debian/match:"),
        json!("debian/match:codename"),
        json!("debian/match:color=red"),
        json!("debian/match:format=iso"),
        json!("debian/matches"),
        json!("debian/match:codename=sid/more"),
    ];
    for lookup in refused {
        let error = fixture.single(&lookup).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid(_)), "{lookup}: {error}");
    }
}

#[tokio::test]
async fn a_fresh_system_tarball_is_an_environment_and_the_newest_match_wins() {
    let fixture = Fixture::new();
    let old = fixture
        .add_tarball("bookworm", "amd64", Some("buildd"))
        .await;
    let arm = fixture
        .add_tarball("bookworm", "arm64", Some("buildd"))
        .await;
    assert_eq!(
        fixture
            .environment(":codename=bookworm:architecture=amd64")
            .await
            .unwrap(),
        old
    );
    let new = fixture
        .add_tarball("bookworm", "amd64", Some("buildd"))
        .await;
    let plain = fixture.add_tarball("trixie", "amd64", None).await;

    for (filters, expected) in [
        (
            ":codename=bookworm:architecture=amd64:format=tarball:backend=unshare",
            new,
        ),
        (":codename=bookworm:architecture=arm64", arm),
        (":variant=buildd", new),
        (":variant=", plain),
        (":codename=bookworm:codename=trixie", plain),
        ("", plain),
    ] {
        assert_eq!(
            fixture.environment(filters).await.unwrap(),
            expected,
            "{filters}"
        );
    }
    let item = json!("debian@debian:environments/match:codename=trixie");
    assert_eq!(fixture.single(&item).await.unwrap(), plain);
    let item = json!("1/name:trixie-amd64-tarball");
    assert_eq!(fixture.single(&item).await.unwrap(), plain);
    let listed = fixture.store.environments().await.unwrap();
    let listed: Vec<_> = listed
        .iter()
        .map(|environment| environment.artifact)
        .collect();
    assert_eq!(
        listed,
        [arm, new, plain],
        "the retired one is found no more"
    );
}

#[tokio::test]
async fn an_image_is_found_by_its_format() {
    let fixture = Fixture::new();
    let data =
        json!({"codename": "sid", "architecture": "amd64", "variant": null, "vendor": "kali"});
    let image = new_artifact("debian:system-image", data, &[("image.qcow2", b"disk")]);
    let image = fixture.store.upload(image).await.unwrap();
    let tarball = fixture.add_tarball("sid", "amd64", None).await;
    assert_eq!(
        fixture
            .environment(":codename=sid:format=image:backend=qemu")
            .await
            .unwrap(),
        image
    );
    assert_eq!(
        fixture
            .environment(":codename=sid:format=tarball")
            .await
            .unwrap(),
        tarball
    );
    let other_vendor = json!("kali/match:codename=sid");
    assert_eq!(fixture.single(&other_vendor).await.unwrap(), image);
}

#[tokio::test]
async fn an_environment_without_a_backend_serves_all_but_one_that_names_it_wins() {
    let fixture = Fixture::new();
    let tied = fixture.add_tarball("sid", "amd64", Some("lxc")).await;
    fixture.tie(tied, "incus-lxc").await;
    let plain = fixture.add_tarball("sid", "amd64", None).await;
    assert_eq!(
        fixture
            .environment(":codename=sid:backend=unshare")
            .await
            .unwrap(),
        plain
    );
    assert_eq!(
        fixture
            .environment(":codename=sid:backend=incus-lxc")
            .await
            .unwrap(),
        tied
    );
    assert_eq!(fixture.environment(":codename=sid").await.unwrap(), plain);
}

#[tokio::test]
async fn a_tarball_that_no_lookup_could_find_is_refused() {
    let fixture = Fixture::new();
    let nameless = new_artifact(
        "debian:system-tarball",
        json!({"architecture": "amd64"}),
        &[],
    );
    let error = fixture.store.upload(nameless).await.unwrap_err();
    assert!(matches!(&error, StoreError::Invalid(words) if words.contains("codename")));
    assert!(fixture.store.artifact(ArtifactId(1)).await.is_err());
}

#[tokio::test]
async fn a_multiple_lookup_keeps_its_order() {
    let fixture = Fixture::new();
    for codename in ["bookworm", "trixie", "sid"] {
        fixture.add_tarball(codename, "amd64", None).await;
    }
    fixture
        .store
        .add_name(ArtifactId(2), "mine".to_owned())
        .await
        .unwrap();
    let cases = [
        (json!([]), vec![]),
        (json!([3, "mine", "1"]), vec![3, 2, 1]),
        (
            json!([2, {"collection": "debian", "data__codename": "bookworm"}]),
            vec![2, 1],
        ),
        (json!({"collection": "debian"}), vec![1, 2, 3]),
        (
            json!({"collection": 1, "data__codename__startswith": "t"}),
            vec![2],
        ),
        (
            json!({"collection": "debian@debian:environments", "data__codename__contains": "i", "data__variant": null}),
            vec![2, 3],
        ),
        (
            json!({"collection": "debian", "name__endswith": "amd64-tarball", "name_matcher": null}),
            vec![1, 2, 3],
        ),
        (
            json!({"collection": "debian", "name": "sid-amd64-tarball"}),
            vec![3],
        ),
        (
            json!({"collection": "debian", "category": "debian:system-image"}),
            vec![],
        ),
        (
            json!({"collection": "debian", "child_type": "bare"}),
            vec![],
        ),
        (
            json!([{"collection": "debian", "child_type": "artifact", "category": null, "name_matcher": {"kind": "contains", "value": "ix"},
                "data_matchers": [["architecture", {"kind": "exact", "value": "amd64"}]], "lookup_filters": []}]),
            vec![2],
        ),
    ];
    for (lookup, expected) in cases {
        assert_eq!(
            fixture.multiple(lookup.clone()).await.unwrap(),
            expected,
            "{lookup}"
        );
    }
}

#[tokio::test]
async fn a_multiple_lookup_that_makes_no_sense_is_refused() {
    let fixture = Fixture::new();
    let refused = [
        json!(5),
        json!("debian"),
        json!(null),
        json!([[1]]),
        json!({"data__codename": "sid"}),
        json!({"collection": "debian", "name": "a", "name__contains": "b"}),
        json!({"collection": "debian", "data__x": "a", "data__x__endswith": "b"}),
        json!({"collection": "debian", "data__x__exact": 5}),
        json!({"collection": "debian", "color": "red"}),
        json!({"collection": "debian", "child_type": "bogus"}),
        json!({"collection": "debian", "lookup__same_workflow": 1}),
    ];
    for lookup in refused {
        let error = fixture.multiple(lookup.clone()).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid(_)), "{lookup}: {error}");
    }
}

#[tokio::test]
async fn items_of_the_same_work_request_are_found() {
    let fixture = Fixture::new();
    let new = NewWorkRequest {
        task_name: "mmdebstrap".to_owned(),
        task_data: json!({}),
        workspace: None,
    };
    let work_request = fixture.store.create_work_request(new).await.unwrap();
    let mut log = test_artifact(&[]);
    log.work_request = Some(work_request);
    let log = fixture.store.upload(log).await.unwrap();
    let data = json!({"codename": "sid", "architecture": "amd64"});
    let mut tarball = new_artifact("debian:system-tarball", data, &[]);
    tarball.work_request = Some(work_request);
    let tarball = fixture.store.upload(tarball).await.unwrap();
    let other = fixture.add_tarball("bookworm", "amd64", None).await;

    let same = |id: ArtifactId| json!({"collection": "debian", "lookup__same_work_request": id});
    assert_eq!(fixture.multiple(same(log)).await.unwrap(), [tarball.0]);
    assert!(fixture.multiple(same(other)).await.unwrap().is_empty());
}

#[tokio::test]
async fn related_artifacts_are_found_once() {
    let fixture = Fixture::new();
    let (source, upload) = (fixture.add(&[]).await, fixture.add(&[]).await);
    let tarball = fixture.add_tarball("sid", "amd64", None).await;
    for (from, to, kind) in [
        (upload, source, RelationType::Extends),
        (upload, tarball, RelationType::Extends),
        (tarball, source, RelationType::Extends),
        (source, tarball, RelationType::RelatesTo),
    ] {
        fixture
            .store
            .relate(relation(from, to, kind))
            .await
            .unwrap();
    }
    let targets = [source, tarball];
    let related = fixture
        .store
        .related(&targets, "debusine:test", RelationType::Extends)
        .await;
    let related: Vec<_> = related
        .unwrap()
        .into_iter()
        .map(|artifact| artifact.id)
        .collect();
    assert_eq!(related, [upload]);
}

#[tokio::test]
async fn a_setting_is_what_was_set() {
    let fixture = Fixture::new();
    let name = "DEBUSINE_FQDN";
    assert!(
        !fixture
            .store
            .setting(name)
            .await
            .unwrap()
            .unwrap()
            .is_empty()
    );
    for value in ["a.example.org", "b.example.org"] {
        fixture.store.set_setting(name, value).await.unwrap();
        assert_eq!(
            fixture.store.setting(name).await.unwrap().as_deref(),
            Some(value)
        );
    }
    assert_eq!(fixture.store.setting("OTHER").await.unwrap(), None);
}
