import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** One command: its name, its words, and options with or without a number. */
final class Command {
  private static final List<String> WITH_NUMBER = List.of("--timeout", "--bytes", "--count");

  final String name;
  final List<String> words = new ArrayList<>();
  private final Map<String, Integer> options = new LinkedHashMap<>();

  Command(List<String> all) {
    name = all.get(0);
    for (int i = 1; i < all.size(); i++) {
      String word = all.get(i);
      if (!word.startsWith("--")) {
        words.add(word);
      } else if (WITH_NUMBER.contains(word)) {
        options.put(word, Integer.parseInt(all.get(++i)));
      } else {
        options.put(word, 1);
      }
    }
  }

  /** Carries out a command. */
  interface Action {
    void perform(Command command) throws Exception;
  }

  /** Performs the command in the arguments, if there is one, and then those on stdin to its end. */
  static void performAll(List<String> arguments, Action action) throws Exception {
    if (!arguments.isEmpty()) {
      action.perform(new Command(arguments));
    }
    BufferedReader lines =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      if (!line.isBlank()) {
        action.perform(new Command(Arrays.asList(line.trim().split("\\s+"))));
      }
    }
  }

  String word(int index) {
    return words.get(index);
  }

  boolean has(String option) {
    return options.containsKey(option);
  }

  int number(String option, int otherwise) {
    return options.getOrDefault(option, otherwise);
  }

  /** The text of the message number `index` of a publish command. */
  String text(int index) {
    return number("--count", 1) == 1 ? word(1) : word(1) + "-" + index;
  }

  /** Its content: the text, padded with 'x' up to `--bytes`. */
  byte[] content(int index) {
    byte[] text = text(index).getBytes(StandardCharsets.UTF_8);
    int length = number("--bytes", text.length);
    byte[] padded = Arrays.copyOf(text, length);
    Arrays.fill(padded, Math.min(text.length, length), length, (byte) 'x');
    return padded;
  }

  /** What a subscriber answers: with `--echo`, "echo:" and the content. */
  byte[] reply(byte[] content) {
    if (!has("--echo")) {
      return new byte[0];
    }
    byte[] head = "echo:".getBytes(StandardCharsets.UTF_8);
    byte[] both = Arrays.copyOf(head, head.length + content.length);
    System.arraycopy(content, 0, both, head.length, content.length);
    return both;
  }
}
