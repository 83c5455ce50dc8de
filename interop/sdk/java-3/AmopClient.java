import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import org.fisco.bcos.sdk.jni.amop.AmopRequestCallback;
import org.fisco.bcos.sdk.jni.amop.AmopResponseCallback;
import org.fisco.bcos.sdk.v3.amop.Amop;
import org.fisco.bcos.sdk.v3.config.Config;

/**
 * A client of the Java SDK of FISCO BCOS 3.x: commands on stdin, one a line, and one line of JSON on stdout for
 * whatever happens.
 *
 * <pre>
 * AmopClient CERTIFICATES ADDRESS[,ADDRESS…] [COMMAND…]
 *   CERTIFICATES  a directory with ca.crt, sdk.crt and sdk.key; or "plain" for no TLS
 *
 *   subscribe TOPIC [--echo]      answers are "echo:" and the message with --echo, else empty
 *   unsubscribe TOPIC
 *   publish TOPIC TEXT [--multicast] [--timeout MS] [--bytes SIZE] [--count NUMBER]
 * </pre>
 */
public final class AmopClient {
  private final Amop amop;

  private AmopClient(Amop amop) {
    this.amop = amop;
  }

  public static void main(String[] arguments) throws Exception {
    if (arguments.length < 2) {
      System.err.println("usage: AmopClient CERTIFICATES|plain ADDRESS[,ADDRESS...] [COMMAND...]");
      System.exit(2);
    }
    AmopClient client;
    try {
      Path file = configuration(arguments[0], arguments[1].split(","));
      client = new AmopClient(Amop.build(Config.load(file.toString())));
      client.amop.start();
    } catch (Exception error) {
      Events.event("failed", "error", String.valueOf(error.getMessage()));
      System.exit(1);
      return;
    }
    Events.event("started");
    Command.performAll(Arrays.asList(arguments).subList(2, arguments.length), client::perform);
    client.amop.stop();
    Events.event("ended");
    System.exit(0);
  }

  private static Path configuration(String certificates, String[] addresses) throws IOException {
    Path directory = Files.createTempDirectory("amop-client-");
    Path file = directory.resolve("config.toml");
    directory.toFile().deleteOnExit();
    file.toFile().deleteOnExit();
    boolean plain = certificates.equals("plain");
    String text =
        String.join(
            "\n",
            "[cryptoMaterial]",
            "certPath = " + Events.JSON.writeValueAsString(plain ? directory.toString() : certificates),
            "disableSsl = \"" + plain + "\"",
            "enableSsl = \"" + !plain + "\"",
            "useSMCrypto = \"false\"",
            "[network]",
            "messageTimeout = \"10000\"",
            "defaultGroup = \"group0\"",
            "peers = " + Events.JSON.writeValueAsString(addresses),
            "[account]",
            "keyStoreDir = " + Events.JSON.writeValueAsString(directory.resolve("account").toString()),
            "[threadPool]",
            "");
    return Files.writeString(file, text);
  }

  private void perform(Command command) {
    switch (command.name) {
      case "subscribe":
        amop.subscribeTopic(command.word(0), callback(command));
        Events.event("subscribed", "topic", command.word(0));
        break;
      case "unsubscribe":
        amop.unsubscribeTopic(command.word(0));
        Events.event("unsubscribed", "topic", command.word(0));
        break;
      case "publish":
        publish(command);
        break;
      default:
        Events.event("unknown", "command", command.name);
    }
  }

  /** The SDK does not say whether a message came by unicast or by multicast: each is answered. */
  private AmopRequestCallback callback(Command command) {
    String topic = command.word(0);
    return (endpoint, seq, content) -> {
      Map<String, Object> fields = Events.content(content);
      fields.put("topic", topic);
      fields.put("seq", seq);
      Events.event("message", fields);
      amop.sendResponse(endpoint, seq, command.reply(content));
    };
  }

  private void publish(Command command) {
    for (int i = 0; i < command.number("--count", 1); i++) {
      String text = command.text(i);
      if (command.has("--multicast")) {
        amop.broadcastAmopMsg(command.word(0), command.content(i));
        Events.event("sent", "text", text);
      } else {
        int timeout = command.number("--timeout", 5000);
        amop.sendAmopMsg(command.word(0), command.content(i), timeout, answer(text));
      }
    }
  }

  private static AmopResponseCallback answer(String text) {
    return response -> {
      Map<String, Object> fields = Events.content(response.getData());
      fields.put("of", text);
      fields.put("code", response.getErrorCode());
      fields.put("error", response.getErrorMessage());
      Events.event("response", fields);
    };
  }
}
