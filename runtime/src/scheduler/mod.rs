//! Matching tasks with workers: who can run what, for many of both.
//!
//! The questions are pure: same component, same task data, same metadata, same answer. So workers with equal metadata are one class, tasks
//! with equal data are one question, and each answer is computed once: a task costs one row of classes, a new worker one column. Every
//! processor has instances of its own, in which workers are parsed once.

mod farm;
mod lane;
mod row;

pub use farm::Farm;
pub use row::Row;

use crate::component::{Limits, Registry, RegistryError};
use crate::host::{CallError, Facts, Linkers, Purpose, TaskComponent, TaskConfigError};
use lane::{Job, Lane};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many answers are remembered before all are forgotten.
const REMEMBERED: usize = 100_000;

/// A task with its data, as a scheduler has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// The task data: JSON.
    pub data: String,
    /// The dynamic data, if they are known: JSON.
    pub dynamic_data: Option<String>,
}

/// Why there is no answer for a task.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// The task is not there, or its component cannot be used.
    #[error("{0}")]
    Registry(Arc<RegistryError>),
    /// The data break the task's rules.
    #[error("task {task}: its data are refused")]
    Configuration {
        /// Its name.
        task: String,
        /// The rules that they break.
        error: Arc<TaskConfigError>,
    },
    /// The component did not answer.
    #[error("{0}")]
    Call(Arc<CallError>),
}

/// Answers which workers can run which tasks.
pub struct Scheduler {
    registry: Registry,
    linkers: Arc<Linkers>,
    farm: Farm,
    components: HashMap<String, Loaded>,
    answers: HashMap<Question, Answer>,
    lanes: Vec<Lane>,
}

/// A component, and which one it is.
#[derive(Clone)]
struct Loaded {
    digest: Arc<str>,
    component: TaskComponent,
}

/// What an answer depends on besides the workers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Question {
    digest: Arc<str>,
    data: String,
    dynamic_data: Option<String>,
}

/// Which workers can run a task, or why nobody knows.
pub type Answer = Result<Arc<Row>, Refusal>;

impl Scheduler {
    /// A scheduler without workers, which computes on so many processors.
    pub fn new(
        registry: Registry,
        linkers: Arc<Linkers>,
        facts: Arc<dyn Facts>,
        processors: usize,
    ) -> Self {
        let options = registry.engine().options();
        let limits = Limits {
            // Metadata of thousands of workers are held parsed.
            memory: options.scheduling.memory.max(options.execution.memory),
            ..options.scheduling
        };
        let lane = || Lane::new(limits, Arc::clone(&facts));
        Self {
            registry,
            linkers,
            farm: Farm::default(),
            components: HashMap::new(),
            answers: HashMap::new(),
            lanes: (0..processors.max(1)).map(|_| lane()).collect(),
        }
    }

    /// Adds a worker; its number follows the last one's.
    pub fn add_worker(&mut self, metadata: Map<String, Value>) -> usize {
        self.farm.add(metadata)
    }

    /// The workers.
    pub fn farm(&self) -> &Farm {
        &self.farm
    }

    /// Looks for new, replaced and removed components. Answers of those that stay the same stay valid.
    pub fn rescan(&mut self) -> Result<(), RegistryError> {
        if !self.registry.rescan()? {
            return Ok(());
        }
        self.components.clear();
        for lane in &mut self.lanes {
            lane.forget();
        }
        Ok(())
    }

    /// Which workers can run each of these tasks. It computes on threads of its own, and returns when all are answered.
    pub fn ask(&mut self, tasks: &[Task]) -> Vec<Answer> {
        if self.answers.len() > REMEMBERED {
            self.answers.clear();
        }
        let questions: Vec<_> = tasks.iter().map(|task| self.question(task)).collect();
        let mut jobs = HashMap::new();
        for (question, component) in questions.iter().flatten() {
            let known = match self.answers.get(question) {
                None => None,
                Some(Ok(row)) if row.classes() < self.farm.classes().len() => Some(Arc::clone(row)),
                Some(_) => continue,
            };
            jobs.entry(question)
                .or_insert_with(|| Job::new(question.clone(), component.clone(), known));
        }
        let mut jobs: Vec<Job> = jobs.into_values().collect();
        jobs.sort_by(|one, other| one.question.digest.cmp(&other.question.digest));
        for (job, answer) in self.work(&jobs) {
            self.answers.insert(jobs[job].question.clone(), answer);
        }
        let answered = questions.iter().map(|question| match question {
            Ok((question, _)) => self.answers[question].clone(),
            Err(refusal) => Err(refusal.clone()),
        });
        let answered = answered.collect();
        // A limit on time may be reached today and not tomorrow: only what is pure is remembered.
        self.answers
            .retain(|_, answer| !matches!(answer, Err(Refusal::Call(_))));
        answered
    }

    fn question(&mut self, task: &Task) -> Result<(Question, TaskComponent), Refusal> {
        let name = task.name.to_lowercase();
        let loaded = match self.components.get(&name) {
            Some(loaded) => loaded.clone(),
            None => {
                let loaded = self.load(&name)?;
                self.components.insert(name, loaded.clone());
                loaded
            }
        };
        let question = Question {
            digest: loaded.digest,
            data: task.data.clone(),
            dynamic_data: task.dynamic_data.clone(),
        };
        Ok((question, loaded.component))
    }

    fn load(&self, name: &str) -> Result<Loaded, Refusal> {
        let found = self.registry.load(name);
        let found = found.map_err(|error| Refusal::Registry(Arc::new(error)))?;
        let engine = self.registry.engine();
        let component = TaskComponent::new(engine, &self.linkers, &found, Purpose::Scheduling);
        Ok(Loaded {
            digest: found.digest.into(),
            component: component.map_err(|error| Refusal::Call(Arc::new(error)))?,
        })
    }

    /// Spreads jobs over the lanes: places of jobs, and their answers. Jobs of one component are neighbours, so that most lanes have
    /// instances of a few components only.
    fn work(&mut self, jobs: &[Job]) -> Vec<(usize, Answer)> {
        let farm = &self.farm;
        let wanted = self.lanes.len().min(jobs.len());
        let turns = Turns::new(jobs.len(), wanted);
        let turns = &turns;
        std::thread::scope(|scope| {
            let lanes = self.lanes[..wanted].iter_mut().enumerate();
            let running: Vec<_> = lanes
                .map(|(number, lane)| scope.spawn(move || lane.work(jobs, farm, turns.of(number))))
                .collect();
            let done = running.into_iter().map(|lane| match lane.join() {
                Ok(answers) => answers,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            done.flatten().collect()
        })
    }
}

/// Who works on what next: each lane on its own stretch of the jobs, then on what is left of others'.
struct Turns {
    stretches: Vec<(AtomicUsize, usize)>,
}

impl Turns {
    /// Jobs that a lane leaves to its neighbour: fewer are done before another instance has parsed the workers.
    const NOT_WORTH_IT: usize = 32;

    fn new(jobs: usize, lanes: usize) -> Self {
        let bound = |lane: usize| jobs * lane / lanes.max(1);
        let stretches = (0..lanes).map(|lane| (AtomicUsize::new(bound(lane)), bound(lane + 1)));
        Self {
            stretches: stretches.collect(),
        }
    }

    /// The places of the jobs that a lane works on.
    fn of(&self, lane: usize) -> impl Iterator<Item = usize> {
        let (own, others) = (lane..=lane, (lane + 1..self.stretches.len()).chain(0..lane));
        let places = move |lane: usize, left: usize| {
            let (next, end) = &self.stretches[lane];
            std::iter::from_fn(move || {
                let worth_it = next.load(Ordering::Relaxed) + left < *end;
                let place = worth_it.then(|| next.fetch_add(1, Ordering::Relaxed))?;
                (place < *end).then_some(place)
            })
        };
        let own = own.flat_map(move |lane| places(lane, 0));
        own.chain(others.flat_map(move |lane| places(lane, Self::NOT_WORTH_IT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_has_its_turn_once() {
        for (jobs, lanes) in [(0, 1), (1, 1), (100, 1), (1000, 2), (7, 3)] {
            let turns = Turns::new(jobs, lanes);
            let mut places: Vec<_> = (0..lanes).flat_map(|lane| turns.of(lane)).collect();
            places.sort_unstable();
            assert_eq!(places, (0..jobs).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_lane_helps_a_neighbour_with_much_left() {
        let turns = Turns::new(1000, 2);
        assert!(turns.of(0).count() > 900);
    }
}
