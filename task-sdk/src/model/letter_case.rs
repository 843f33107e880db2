//! Lower case for host names: the scripts that host names use. The tables of `core` for all of Unicode weigh 17 KB.

/// The text in lower case, as far as its letters are Latin, Greek, Cyrillic or Armenian.
pub fn lower(text: &str) -> String {
    text.chars().map(lower_letter).collect()
}

fn lower_letter(letter: char) -> char {
    let code = u32::from(letter);
    let distance = match code {
        0x41..=0x5A | 0xC0..=0xD6 | 0xD8..=0xDE | 0x391..=0x3A1 | 0x3A3..=0x3AB | 0x410..=0x42F => {
            32
        }
        0x400..=0x40F => 80,
        0x531..=0x556 => 48,
        // Pairs of an upper and a lower letter.
        0x100..=0x12F | 0x132..=0x137 | 0x14A..=0x177 | 0x460..=0x481 | 0x48A..=0x4BF => {
            1 - code % 2
        }
        0x139..=0x148 | 0x179..=0x17E => code % 2,
        _ => 0,
    };
    char::from_u32(code + distance).unwrap_or(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_host_names_agree_with_unicode() {
        for letter in "AZÀÖØÞĀĮĲĶĹŇŊŶŹŽΑΡΣΫЀЏАЯѠҀҊҾԱՖazßéñ-_09日".chars()
        {
            assert!(letter.to_lowercase().eq([lower_letter(letter)]), "{letter}");
        }
    }
}
