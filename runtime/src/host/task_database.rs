//! `task-database`: look-ups while dynamic data are computed.

use super::bindings::debusine::task::task_database::{Artifact, HostArtifacts};
use super::bindings::debusine::task::types::RelationType as WitRelationType;
use super::bindings::debusine::task::{task_database, types};
use super::{HostState, LookupFault};
use crate::artifacts::{self, ArtifactId, RelationType, StoreError, TaskDatabase};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;
use wasmtime::component::Resource;

/// What is left of a long result.
pub struct ArtifactList(VecDeque<Artifact>);

/// The most artifacts that one page holds.
const PAGE: usize = 1000;

impl HostState {
    fn database(&self) -> Result<Arc<dyn TaskDatabase>, LookupFault> {
        self.database.clone().ok_or_else(|| {
            LookupFault::Trap(wasmtime::format_err!(
                "task-database is granted to compute-dynamic-data only"
            ))
        })
    }

    fn list(
        &mut self,
        found: Vec<artifacts::Artifact>,
    ) -> Result<Resource<ArtifactList>, LookupFault> {
        let list = ArtifactList(found.into_iter().map(artifact).collect());
        Ok(self.table.push(list)?)
    }
}

impl HostArtifacts for HostState {
    async fn next(
        &mut self,
        list: Resource<ArtifactList>,
        at_most: u32,
    ) -> wasmtime::Result<Vec<Artifact>> {
        let left = &mut self.table.get_mut(&list)?.0;
        let page = left.len().min(at_most as usize).min(PAGE);
        Ok(left.drain(..page).collect())
    }

    async fn drop(&mut self, list: Resource<ArtifactList>) -> wasmtime::Result<()> {
        self.table.delete(list)?;
        Ok(())
    }
}

impl From<WitRelationType> for RelationType {
    fn from(kind: WitRelationType) -> Self {
        match kind {
            WitRelationType::Extends => Self::Extends,
            WitRelationType::RelatesTo => Self::RelatesTo,
            WitRelationType::BuiltUsing => Self::BuiltUsing,
        }
    }
}

impl From<RelationType> for WitRelationType {
    fn from(kind: RelationType) -> Self {
        match kind {
            RelationType::Extends => Self::Extends,
            RelationType::RelatesTo => Self::RelatesTo,
            RelationType::BuiltUsing => Self::BuiltUsing,
        }
    }
}

fn parse(lookup: &str) -> Result<Value, StoreError> {
    serde_json::from_str(lookup)
        .map_err(|error| StoreError::Invalid(format!("look-up {lookup:?}: not JSON: {error}")))
}

fn artifact(found: artifacts::Artifact) -> Artifact {
    Artifact {
        id: found.id.0,
        category: found.category,
        data: found.data.to_string(),
    }
}

impl task_database::Host for HostState {
    async fn lookup_single(
        &mut self,
        lookup: types::Json,
        default_category: Option<String>,
    ) -> Result<Artifact, LookupFault> {
        let lookup = parse(&lookup)?;
        let found = self
            .database()?
            .lookup_single(&lookup, default_category.as_deref())
            .await?;
        Ok(artifact(found))
    }

    async fn lookup_multiple(
        &mut self,
        lookup: types::Json,
        default_category: Option<String>,
    ) -> Result<Resource<ArtifactList>, LookupFault> {
        let lookup = parse(&lookup)?;
        let found = self
            .database()?
            .lookup_multiple(&lookup, default_category.as_deref())
            .await?;
        self.list(found)
    }

    async fn related(
        &mut self,
        targets: Vec<types::ArtifactId>,
        category: String,
        relation: WitRelationType,
    ) -> Result<Resource<ArtifactList>, LookupFault> {
        let targets: Vec<ArtifactId> = targets.into_iter().map(ArtifactId).collect();
        let found = self
            .database()?
            .related(&targets, &category, relation.into())
            .await?;
        self.list(found)
    }

    async fn setting(&mut self, name: String) -> Result<Option<String>, LookupFault> {
        Ok(self.database()?.setting(&name).await?)
    }

    fn convert_lookup_error(
        &mut self,
        fault: LookupFault,
    ) -> wasmtime::Result<task_database::LookupError> {
        match fault {
            LookupFault::Error(error) => Ok(error),
            LookupFault::Trap(error) => Err(error),
        }
    }
}
