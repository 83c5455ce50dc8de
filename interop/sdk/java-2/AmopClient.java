import com.fasterxml.jackson.databind.ObjectMapper;
import io.netty.channel.ChannelHandlerContext;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.Security;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.fisco.bcos.sdk.BcosSDK;
import org.fisco.bcos.sdk.amop.Amop;
import org.fisco.bcos.sdk.amop.AmopCallback;
import org.fisco.bcos.sdk.amop.AmopMsgOut;
import org.fisco.bcos.sdk.amop.AmopResponse;
import org.fisco.bcos.sdk.amop.AmopResponseCallback;
import org.fisco.bcos.sdk.amop.topic.AmopMsgIn;
import org.fisco.bcos.sdk.amop.topic.TopicType;
import org.fisco.bcos.sdk.crypto.CryptoSuite;
import org.fisco.bcos.sdk.crypto.keypair.CryptoKeyPair;
import org.fisco.bcos.sdk.model.CryptoType;
import org.fisco.bcos.sdk.model.Message;
import org.fisco.bcos.sdk.network.MsgHandler;

/**
 * A client of the Java SDK of FISCO BCOS 2.x: commands on stdin, one a line, and one line of JSON on stdout
 * for whatever happens. It has no way of its own to the node: everything goes through the SDK.
 *
 * <pre>
 * AmopClient CERTIFICATES ADDRESS[,ADDRESS…] [COMMAND…]
 *   CERTIFICATES  a directory with ca.crt, sdk.crt and sdk.key
 *
 *   subscribe TOPIC [--echo]      answers are "echo:" and the message with --echo, else empty
 *   unsubscribe TOPIC
 *   publish TOPIC TEXT [--multicast] [--private] [--timeout MS] [--bytes SIZE] [--count NUMBER]
 *                                 --bytes: TEXT and then 'x' up to this size; --count: so many at once,
 *                                 "TEXT-0", "TEXT-1"…
 *   key                           a new key pair for private topics
 *   subscribe-private TOPIC PRIVATE_KEY [--echo]
 *   publish-private TOPIC PUBLIC_KEY…   who may have the private topic
 * </pre>
 *
 * <p>A command among the arguments is carried out first. The end of stdin ends the program.
 */
public final class AmopClient {
  private static final ObjectMapper JSON = new ObjectMapper();
  /** So many bytes of a content are shown. */
  private static final int SHOWN = 300;

  private final BcosSDK sdk;
  private final Amop amop;

  private AmopClient(BcosSDK sdk) {
    this.sdk = sdk;
    this.amop = sdk.getAmop();
  }

  public static void main(String[] arguments) throws Exception {
    if (arguments.length < 2) {
      System.err.println("usage: AmopClient CERTIFICATES ADDRESS[,ADDRESS...] [COMMAND...]");
      System.exit(2);
    }
    if (Boolean.getBoolean("bouncycastle")) {
      // Only so does JDK 17 know secp256k1, together with -Djdk.tls.namedGroups=secp256k1,secp256r1.
      Security.insertProviderAt(new BouncyCastleProvider(), 1);
    }
    BcosSDK sdk;
    try {
      sdk = BcosSDK.build(configuration(Path.of(arguments[0]), arguments[1].split(",")).toString());
    } catch (Exception error) {
      event("failed", "error", String.valueOf(error.getMessage()));
      System.exit(1);
      return;
    }
    AmopClient client = new AmopClient(sdk);
    client.watch();
    event("started", "peers", sdk.getChannel().getAvailablePeer());
    if (arguments.length > 2) {
      client.command(Arrays.asList(arguments).subList(2, arguments.length));
    }
    BufferedReader lines =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      if (!line.isBlank()) {
        client.command(Arrays.asList(line.trim().split("\\s+")));
      }
    }
    sdk.stopAll();
    event("ended");
    System.exit(0);
  }

  /** The file that the SDK is configured by, as its documentation has it. */
  private static Path configuration(Path certificates, String[] addresses) throws IOException {
    Path directory = Files.createTempDirectory("amop-client-");
    Path file = directory.resolve("config.toml");
    directory.toFile().deleteOnExit();
    file.toFile().deleteOnExit();
    String text =
        String.join(
            "\n",
            "[cryptoMaterial]",
            "certPath = " + JSON.writeValueAsString(certificates.toString()),
            "[network]",
            "peers = " + JSON.writeValueAsString(addresses),
            "[account]",
            "keyStoreDir = " + JSON.writeValueAsString(directory.resolve("account").toString()),
            "[threadPool]",
            "maxBlockingQueueSize = \"102400\"",
            "");
    return Files.writeString(file, text);
  }

  /** Tells of connections that come and go. */
  private void watch() {
    MsgHandler handler =
        new MsgHandler() {
          @Override
          public void onConnect(ChannelHandlerContext context) {
            event("connected", "peer", peer(context));
          }

          @Override
          public void onMessage(ChannelHandlerContext context, Message message) {}

          @Override
          public void onDisconnect(ChannelHandlerContext context) {
            event("disconnected", "peer", peer(context));
          }
        };
    sdk.getChannel().addEstablishHandler(handler);
    sdk.getChannel().addDisconnectHandler(handler);
  }

  private static String peer(ChannelHandlerContext context) {
    return String.valueOf(context.channel().remoteAddress());
  }

  private void command(List<String> words) throws Exception {
    Command command = new Command(words);
    switch (command.name) {
      case "subscribe":
        amop.subscribeTopic(command.word(0), callback(command.has("--echo")));
        event("subscribed", "topic", command.word(0));
        break;
      case "unsubscribe":
        amop.unsubscribeTopic(command.word(0));
        event("unsubscribed", "topic", command.word(0));
        break;
      case "publish":
        publish(command);
        break;
      case "key":
        CryptoKeyPair pair = new CryptoSuite(CryptoType.ECDSA_TYPE).createKeyPair();
        event("key", "private", pair.getHexPrivateKey(), "public", pair.getHexPublicKey());
        break;
      case "subscribe-private":
        amop.subscribePrivateTopics(
            command.word(0), command.word(1), callback(command.has("--echo")));
        event("subscribed", "topic", command.word(0));
        break;
      case "publish-private":
        amop.publishPrivateTopicWithHexPublicKeyList(
            command.word(0), new ArrayList<>(command.words.subList(1, command.words.size())));
        event("publishing", "topic", command.word(0));
        break;
      default:
        event("unknown", "command", command.name);
    }
  }

  private static AmopCallback callback(boolean echo) {
    return new AmopCallback() {
      @Override
      public byte[] receiveAmopMsg(AmopMsgIn message) {
        byte[] content = message.getContent();
        Map<String, Object> fields = content(content);
        fields.put("topic", message.getTopic());
        fields.put("type", message.getType());
        fields.put("seq", message.getMessageID());
        event("message", fields);
        return echo ? join("echo:".getBytes(StandardCharsets.UTF_8), content) : new byte[0];
      }
    };
  }

  private void publish(Command command) {
    int count = command.number("--count", 1);
    boolean multicast = command.has("--multicast");
    for (int i = 0; i < count; i++) {
      String text = count == 1 ? command.word(1) : command.word(1) + "-" + i;
      byte[] content = text.getBytes(StandardCharsets.UTF_8);
      int length = command.number("--bytes", content.length);
      byte[] padded = Arrays.copyOf(content, length);
      Arrays.fill(padded, Math.min(content.length, length), length, (byte) 'x');
      AmopMsgOut message = new AmopMsgOut();
      message.setTopic(command.word(0));
      message.setContent(padded);
      message.setType(
          command.has("--private") ? TopicType.PRIVATE_TOPIC : TopicType.NORMAL_TOPIC);
      message.setTimeout(command.number("--timeout", 5000));
      if (multicast) {
        amop.broadcastAmopMsg(message);
        event("sent", "text", text);
      } else {
        amop.sendAmopMsg(message, answer(text));
      }
    }
  }

  private static AmopResponseCallback answer(String text) {
    return new AmopResponseCallback() {
      @Override
      public void onResponse(AmopResponse response) {
        AmopMsgIn in = response.getAmopMsgIn();
        Map<String, Object> fields =
            in == null || in.getContent() == null ? new LinkedHashMap<>() : content(in.getContent());
        fields.put("of", text);
        fields.put("code", response.getErrorCode());
        fields.put("error", response.getErrorMessage());
        event("response", fields);
      }
    };
  }

  /** Size and digest of a content, and the text of a short one. */
  private static Map<String, Object> content(byte[] content) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("bytes", content.length);
    try {
      StringBuilder digest = new StringBuilder();
      for (byte part : MessageDigest.getInstance("SHA-256").digest(content)) {
        digest.append(String.format("%02x", part));
      }
      fields.put("sha256", digest.toString());
    } catch (java.security.NoSuchAlgorithmException error) {
      throw new IllegalStateException(error);
    }
    fields.put("text", new String(content, 0, Math.min(content.length, SHOWN), StandardCharsets.UTF_8));
    return fields;
  }

  private static byte[] join(byte[] first, byte[] second) {
    byte[] both = Arrays.copyOf(first, first.length + second.length);
    System.arraycopy(second, 0, both, first.length, second.length);
    return both;
  }

  private static void event(String name, Object... pairs) {
    Map<String, Object> fields = new LinkedHashMap<>();
    for (int i = 0; i + 1 < pairs.length; i += 2) {
      fields.put((String) pairs[i], pairs[i + 1]);
    }
    event(name, fields);
  }

  private static synchronized void event(String name, Map<String, Object> fields) {
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

  /** One command: its name, its words, and options with or without a number. */
  private static final class Command {
    final String name;
    final List<String> words = new ArrayList<>();
    private final Map<String, Integer> options = new LinkedHashMap<>();

    Command(List<String> all) {
      name = all.get(0);
      for (int i = 1; i < all.size(); i++) {
        String word = all.get(i);
        if (!word.startsWith("--")) {
          words.add(word);
        } else if (List.of("--timeout", "--bytes", "--count").contains(word)) {
          options.put(word, Integer.parseInt(all.get(++i)));
        } else {
          options.put(word, 1);
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
  }
}
