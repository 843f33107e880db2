//! Data of files to be signed and of signatures.

use crate::prelude::*;

model! {
    /// Files to be signed.
    pub struct SigningInput {
        /// Fingerprints of the certificates that boot chains trust.
        pub trusted_certs: Option<Vec<String>> = None,
        /// The binary package that the files are from.
        pub binary_package_name: Option<String> = None,
    }
}

choices! {
    /// What a signature is for.
    pub enum SigningPurpose {
        /// For UEFI Secure Boot.
        Uefi = "uefi",
        /// An OpenPGP signature.
        Openpgp = "openpgp",
    }
}

model! {
    /// What became of files to be signed.
    pub struct SigningOutput {
        /// What the signatures are for.
        pub purpose: SigningPurpose,
        /// Fingerprint of the key.
        pub fingerprint: String,
        /// One for each file.
        pub results: Vec<SigningResult>,
        /// The binary package that the files are from.
        pub binary_package_name: Option<String> = None,
    }
}

model! {
    /// What became of one file: a signature or an error.
    pub struct SigningResult {
        /// The file.
        pub file: String,
        /// The file with its signature.
        pub output_file: Option<String> = None,
        /// Why it was not signed.
        pub error_message: Option<String> = None,
    }
    // One that is wrong is as good as none.
    rule |partial| match (partial.output_file.iter().flatten().next(), partial.error_message.iter().flatten().next()) {
        (Some(_), Some(_)) => {
            Err("both output_file and error_message: give only what happened".into())
        }
        (None, None) => {
            Err("neither output_file nor error_message: give what happened".into())
        }
        _ => Ok(()),
    };
}
