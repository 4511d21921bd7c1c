//! What people are told to do about an error: the endings of error texts, as the Internet Computer writes them.
//!
//! An ending is a line of its own after the text of the error. Most say what to do and where that is documented; some
//! errors have none. Everything that has one takes it from the table here.

use std::{borrow::Cow, fmt};

use crate::types::{ErrorCode, Reject};

/// Where most errors are documented.
const PAGE: &str = "https://internetcomputer.org/docs/current/references/execution-errors#";

/// The ending of one error's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Help {
    advice: Cow<'static, str>,
    see: See,
}

/// Where an ending points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum See {
    /// A section of [`PAGE`].
    Section(&'static str),
    /// A name that is no address; the Internet Computer forgets the address in some places.
    Name(&'static str),
    /// Nowhere: the advice is all.
    Nothing,
}

impl Help {
    const fn section(section: &'static str, advice: &'static str) -> Self {
        Self {
            advice: Cow::Borrowed(advice),
            see: See::Section(section),
        }
    }

    const fn name(name: &'static str, advice: &'static str) -> Self {
        Self {
            advice: Cow::Borrowed(advice),
            see: See::Name(name),
        }
    }

    const fn alone(advice: &'static str) -> Self {
        Self {
            advice: Cow::Borrowed(advice),
            see: See::Nothing,
        }
    }

    /// The ending where one method is exported under several kinds.
    pub(crate) fn duplicate_method(name: &str) -> Self {
        Self {
            advice: Cow::Owned(format!(
                "Try defining different versions of the function for each call type, e.g. `{name}_update`, \
                 `{name}_query`, etc."
            )),
            see: See::Section("wasm-module-duplicate-exports"),
        }
    }

    /// A text with this ending.
    pub(crate) fn after(&self, text: impl fmt::Display) -> String {
        if self.advice.is_empty() {
            text.to_string()
        } else {
            format!("{text}\n{self}")
        }
    }

    /// A refusal with this ending.
    pub(crate) fn reject(&self, error: ErrorCode, text: impl fmt::Display) -> Reject {
        Reject::of(error, self.after(text))
    }

    /// The ending of what a canister's code did wrong: a sentence ends before it, even where the error was one.
    pub(crate) fn after_fault(&self, text: impl fmt::Display) -> String {
        if self.advice.is_empty() {
            text.to_string()
        } else {
            format!("{text}.\n{self}")
        }
    }
}

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { advice, see } = self;
        match see {
            See::Section(section) => write!(f, "{advice} See documentation: {PAGE}{section}"),
            See::Name(name) => write!(f, "{advice} See documentation: {name}"),
            See::Nothing => f.write_str(advice),
        }
    }
}

macro_rules! table {
    ($($error:ident $form:ident ($($text:literal),*);)*) => {
        $(pub(crate) static $error: Help = Help::$form($($text),*);)*

        /// All of them, by name.
        #[cfg(test)]
        static ALL: &[(&str, &Help)] = &[$((stringify!($error), &$error)),*];
    };
}

// Errors of canister code.
table! {
    NONE alone("");
    TOOLCHAIN alone("This is likely an error with the compiler/CDK toolchain being used to build the canister. Please report the error to IC devs on the forum: https://forum.dfinity.org and include which language/CDK was used to create the canister.");
    INTERNAL alone("This is an internal error on the IC. Please report it to IC devs on the forum: https://forum.dfinity.org");

    METHOD_NOT_FOUND section("method-not-found", "Check that the method being called is exported by the target canister.");
    INSTRUCTION_LIMIT section("instruction-limit-exceeded", "Try optimizing this method to consume fewer instructions or split the work across multiple messages.");
    TRAPPED section("trapped", "Consider gracefully handling failures from this canister or altering the canister to handle exceptions.");
    TRAPPED_EXPLICITLY section("trapped-explicitly", "Consider gracefully handling failures from this canister or altering the canister to handle exceptions.");
    NO_MODULE section("wasm-module-not-found", "Please install code to this canister before calling it.");
    MEMORY_ACCESS section("memory-access-limit-exceeded", "Try optimizing the use of stable memory so that individual messages don't need to access as much stable memory.");
    MEMORY_UNPAID section("insufficient-cycles-in-memory-grow", "Try topping up the canister.");
    HEAP_LIMIT section("wasm-memory-limit-exceeded", "Try checking the canister for a possible memory leak or modifying it to use more stable memory instead of Wasm memory.");
    WRONG_MODE section("calling-a-system-api-from-the-wrong-mode", "Check the ICP documentation to make sure APIs are being called in the correct message types.");
    REPLY_TOO_LARGE section("msg_reply_data_append-payload-too-large", "Consider checking the response size and returning an error if it is too long.");
    REJECT_TOO_LARGE section("msg_reject-payload-too-large", "Try truncating the error messages that are too long.");
    CERTIFIED_DATA_TOO_LARGE section("certified_data_set-payload-too-large", "Try certifying just the hash of your data instead of the full contents.");
    METHOD_NAME_TOO_LARGE section("canister-made-a-call-with-too-large-method-name", "Size of method_name {} exceeds the allowed limit of {}.");
    PAYLOAD_TOO_LARGE section("canister-made-a-call-with-too-large-payload", "Check the canister for errors or redesign the target API to allow shorter messages");
    VARIABLE_NAME_NO_TEXT name("", "Provide a valid UTF-8 string for the environment variable name.");

    METHODS_TOO_MANY section("wasm-module-exports-too-many-methods", "Try combining multiple endpoints into a single endpoint.");
    METHOD_NAMES_TOO_LARGE section("wasm-module-sum-of-exported-name-lengths-too-large", "Try using shorter method names.");
    FUNCTIONS_TOO_MANY section("wasm-module-too-many-functions", "Try spliting this canister into multiple canisters.");
    GLOBALS_TOO_MANY section("wasm-module-too-many-globals", "Try collecting multiple globals into a single structured which can be stored on the heap.");
    FUNCTION_TOO_COMPLEX section("wasm-module-function-complexity-too-high", "Try breaking large functions up into multiple smaller functions.");
    FUNCTION_TOO_LARGE section("wasm-module-function-too-large", "Try breaking large functions up into multiple smaller functions.");
    CODE_TOO_LARGE section("wasm-module-code-section-too-large", "Try shrinking the module code section using tools like `ic-wasm` or splitting the logic across multiple canisters.");
    MODULE_TOO_LARGE section("wasm-module-too-large", "Try shrinking the module using tools like `ic-wasm` or splitting the logic across multiple canisters.");

    INVALID_CONTROLLER section("invalid-controller", "Execute this call from a controller of the target canister or add the current caller as a controller.");
    CANISTER_NOT_FOUND section("canister-not-found", "Check the ICP dashboard to ensure the canister exists.");
    CANISTER_NOT_EMPTY section("canister-not-empty", "Check that you want to overwrite the canister and, if so, use mode='reinstall'.");
    COMPUTE_OVERSUBSCRIBED section("subnet-compute-capacity-oversubscribed", "Try moving to another subnet.");
    MEMORY_OVERSUBSCRIBED section("subnet-memory-capacity-oversubscribed", "Try moving to another subnet.");
    DELETE_NOT_STOPPED section("delete-canister-not-stopped", "Stop the canister before deleting it.");
    DELETE_SELF section("delete-canister-self", "Delete the canister from one of its other controllers.");
    CREATION_UNPAID section("create-canister-not-enough-cycles", "Try sending more cycles with the request.");
    INSTALLATION_UNPAID section("install-code-not-enough-cycles", "Top up the canister with more cycles.");
    COMPUTE_UNPAID section("insufficient-cycles-in-compute-allocation", "Top up the canister with more cycles.");
    ALLOCATION_UNPAID section("insufficient-cycles-in-memory-allocation", "Top up the canister with more cycles.");
    GROWTH_UNPAID section("insufficient-cycles-in-memory-grow-1", "Top up the canister with more cycles.");
    RESERVATION_OVER_LIMIT section("reserved-cycles-limit-exceeded-in-memory-allocation", "Try increasing this canister's reserved cycles limit or moving it to a subnet with lower memory usage.");
    RESERVATION_LIMIT_TOO_LOW name("reserved-cycles-limit-is-too-low", "Set the reserved cycles limit in the canister settings to a value that is at least the current reserved cycles balance.");
    CHUNK_STORE section("wasm-chunk-store-error", "Use the `stored_chunks` API to check which hashes are present or top up the canister if it is low on cycles.");
    SNAPSHOT_NOT_FOUND section("canister-snapshot-not-found", "Use the `list_canister_snapshot` API to see which snapshots are present.");
    SNAPSHOT_OF_ANOTHER section("canister-snapshot-invalid-ownership", "Use the `list_canister_snapshot` API to see which snapshots are present.");
    SNAPSHOTS_TOO_MANY name("canister-snapshot-limit-exceeded", "Consider deleting an unnecessary snapshot of the specified canister before creating a new one.");
    SNAPSHOT_UNPAID name("canister-snapshot-not-enough-cycles", "Try sending more cycles with the request.");
    SNAPSHOT_NOT_CONTROLLED name("canister-snapshot-not-controller", "Make sure you are a controller of the canister that the snapshot belongs to.");
    SPECIFIED_ID name("", "Use a `specified_id` that matches a canister ID on the ICP mainnet and a test environment that supports canister creation with `specified_id` (e.g., PocketIC).");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_says_what_to_do_and_where_that_is_documented() {
        let mut seen = Vec::new();
        for (name, help) in ALL {
            let text = help.to_string();
            assert!(!seen.contains(&text), "{name} is there twice");
            assert!(
                !text.contains('\n') && !text.contains("  "),
                "{name}: {text}"
            );
            match help.see {
                See::Section(section) => {
                    assert!(
                        text.ends_with(&format!("execution-errors#{section}")),
                        "{text}"
                    );
                }
                See::Name(_) => assert!(text.contains(" See documentation: "), "{text}"),
                See::Nothing => assert!(!text.contains("See documentation"), "{text}"),
            }
            seen.push(text);
        }
    }

    #[test]
    fn endings_stand_on_a_line_of_their_own() {
        assert_eq!(
            NO_MODULE.after("It is empty."),
            "It is empty.\nPlease install code to this canister before calling it. See documentation: \
             https://internetcomputer.org/docs/current/references/execution-errors#wasm-module-not-found"
        );
        assert_eq!(
            TOOLCHAIN.after_fault("It is wrong"),
            "It is wrong.\nThis is likely an error with the compiler/CDK toolchain being used to build the canister. \
             Please report the error to IC devs on the forum: https://forum.dfinity.org and include which \
             language/CDK was used to create the canister."
        );
        assert_eq!(NONE.after("It is wrong."), "It is wrong.");
        assert_eq!(NONE.after_fault("It is wrong"), "It is wrong");
        assert_eq!(
            Help::duplicate_method("go").to_string(),
            "Try defining different versions of the function for each call type, e.g. `go_update`, `go_query`, etc. \
             See documentation: https://internetcomputer.org/docs/current/references/execution-errors#\
             wasm-module-duplicate-exports"
        );
        assert_eq!(
            VARIABLE_NAME_NO_TEXT.to_string(),
            "Provide a valid UTF-8 string for the environment variable name. See documentation: "
        );
    }
}
