import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.LinkedHashMap;
import java.util.Map;

/** What the clients tell: a line of JSON for whatever happens. */
final class Events {
  static final ObjectMapper JSON = new ObjectMapper();
  /** So many bytes of a content are shown. */
  private static final int SHOWN = 300;

  private Events() {}

  static void event(String name, Object... pairs) {
    Map<String, Object> fields = new LinkedHashMap<>();
    for (int i = 0; i + 1 < pairs.length; i += 2) {
      fields.put((String) pairs[i], pairs[i + 1]);
    }
    event(name, fields);
  }

  static synchronized void event(String name, Map<String, Object> fields) {
    Map<String, Object> all = new LinkedHashMap<>();
    all.put("event", name);
    all.putAll(fields);
    try {
      System.out.println(JSON.writeValueAsString(all));
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
    System.out.flush();
  }

  /** Size and digest of a content, and the text of a short one; of none, nothing. */
  static Map<String, Object> content(byte[] content) {
    Map<String, Object> fields = new LinkedHashMap<>();
    if (content == null) {
      return fields;
    }
    fields.put("bytes", content.length);
    try {
      StringBuilder digest = new StringBuilder();
      for (byte part : MessageDigest.getInstance("SHA-256").digest(content)) {
        digest.append(String.format("%02x", part));
      }
      fields.put("sha256", digest.toString());
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException(error);
    }
    int shown = Math.min(content.length, SHOWN);
    fields.put("text", new String(content, 0, shown, StandardCharsets.UTF_8));
    return fields;
  }
}
