//! The one line that makes a component of a task.

/// Makes a component of a task: `register_task!(Lintian as RunCommandTask)`, or `as ExternalTask` for a task whose work is more
/// than one command.
#[macro_export]
macro_rules! register_task {
    ($task:ty as RunCommandTask) => {
        impl $crate::__private::Running for $task {
            fn command_line(
                &mut self,
                workspace: &$crate::prelude::Workspace,
            ) -> $crate::prelude::Result<Option<$crate::prelude::CommandLine>> {
                $crate::prelude::RunCommandTask::composed(self, workspace).map(Some)
            }

            fn run_stage(
                &mut self,
                workspace: &$crate::prelude::Workspace,
            ) -> $crate::prelude::Result<bool> {
                $crate::prelude::RunCommandTask::run_command(self, workspace)
            }

            fn judge(
                &mut self,
                workspace: &$crate::prelude::Workspace,
                exit: $crate::prelude::Exit,
            ) -> $crate::prelude::Result<bool> {
                $crate::prelude::RunCommandTask::task_succeeded(self, workspace, exit)
            }
        }
        $crate::__register!($task);
    };
    ($task:ty as ExternalTask) => {
        impl $crate::__private::Running for $task {
            fn command_line(
                &mut self,
                _: &$crate::prelude::Workspace,
            ) -> $crate::prelude::Result<Option<$crate::prelude::CommandLine>> {
                Ok(None)
            }

            fn run_stage(
                &mut self,
                workspace: &$crate::prelude::Workspace,
            ) -> $crate::prelude::Result<bool> {
                $crate::prelude::ExternalTask::run(self, workspace)
            }

            fn judge(
                &mut self,
                _: &$crate::prelude::Workspace,
                exit: $crate::prelude::Exit,
            ) -> $crate::prelude::Result<bool> {
                Ok(matches!(exit, $crate::prelude::Exit::Exited(0)))
            }
        }
        $crate::__register!($task);
    };
}

/// Exports the component; a native build has nobody to export it to.
#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    ($task:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Registered = $crate::Component<$task>;

            const NAME: &str = <$task as $crate::prelude::Task>::NAME;
            const SUMMARY: &str = <$task as $crate::prelude::Task>::SUMMARY;
            const NEEDS: Option<$crate::prelude::Needs> = <$task as $crate::prelude::Task>::NEEDS;
            const LENGTH: usize = $crate::__private::manifest_length(NAME, SUMMARY, NEEDS);

            // A host reads it without running the component.
            #[used]
            #[unsafe(link_section = "debusine:task")]
            static MANIFEST: [u8; LENGTH] = $crate::__private::manifest(NAME, SUMMARY, NEEDS);

    $crate::bindings::export_component!(Registered with_types_in $crate::bindings);
        };
    };
}
