# A stand-in for nixpkgs, to evaluate factoryup's flake without a network and on a Nix that is too old for the real one.
#
# It is strict: every argument is forced, and a name or an attribute that is not listed here is an error. All names are those
# of nixpkgs (pkgs/by-name, pkgs/build-support/rust/build-rust-package, pkgs/build-support/mkshell, lib/fileset). As in nixpkgs,
# a system that was dropped throws. With a host.json beside it, buildRustPackage runs the cargo of this machine instead of
# describing a build.
{
  description = "A strict stand-in for nixpkgs";

  outputs =
    _:
    let
      host = if builtins.pathExists ./host.json then builtins.fromJSON (builtins.readFile ./host.json) else null;

      hostEnvironment = "export PATH='${host.path}' HOME='${host.home}' CARGO_HOME='${host.cargoHome}' RUSTUP_HOME='${host.rustupHome}'";

      strict = value: builtins.deepSeq value value;
      hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;

      lib = {
        genAttrs = names: value: builtins.listToAttrs (map (name: { inherit name; value = value name; }) names);
        optionalAttrs = condition: attrs: if condition then attrs else { };
        optionals = condition: list: if condition then list else [ ];
        optionalString = condition: text: if condition then text else "";
        importTOML = file: builtins.fromTOML (builtins.readFile file);
        importJSON = file: builtins.fromJSON (builtins.readFile file);
        getExe = drv: "${drv}/bin/${drv.meta.mainProgram}";
        fileset = {
          unions = map (part: if builtins.pathExists part then part else throw "there is no ${toString part}");
          toSource =
            { root, fileset }:
            builtins.path {
              path = root;
              name = "source";
              filter =
                path: _:
                builtins.any (
                  file: toString file == path || hasPrefix "${toString file}/" path || hasPrefix "${path}/" (toString file)
                ) fileset;
            };
        };
        licenses = {
          mit.spdxId = "MIT";
          asl20.spdxId = "Apache-2.0";
        };
        sourceTypes.binaryNativeCode.shortName = "binaryNativeCode";
        platforms.unix = [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ];
      };

      packagesFor =
        system:
        let
          isLinux = hasPrefix "linux" (builtins.substring (builtins.stringLength system - 5) 5 system);

          platform = {
            inherit system isLinux;
            canExecute = other: other.system == system;
          };

          # A derivation of forced attributes, as stdenv.mkDerivation makes one.
          derive =
            attrs:
            let
              known = strict attrs;
              text = removeAttrs known [ "meta" "env" "cargoLock" "build" ];
              result = derivation (
                {
                  inherit system;
                  name = known.name or "${known.pname}-${known.version}";
                  builder = "/bin/sh";
                  args = [ "-euc" (known.build or '': >"$out"'') ];
                }
                // text
                // known.env or { }
              );
            in
            result
            // {
              meta = known.meta or { };
              overrideAttrs = change: derive (known // change known);
            };

          isPackage = value: value.type or null == "derivation";
          packages = list: builtins.all isPackage list || throw "not all of these are packages: ${builtins.toJSON list}";
          texts = env: builtins.all builtins.isString (builtins.attrValues env) || throw "env takes only strings";

          everywhere = [
            "age" "cargo" "clippy" "git" "installShellFiles" "jq" "nixfmt-tree" "openssh" "openssl" "pkg-config" "rust-analyzer" "rustc"
            "rustfmt" "shellcheck" "yamllint" "zlib"
          ];
          onLinux = [ "iproute2" "mmdebstrap" "nftables" ];

          checkMeta =
            { description, license, mainProgram, platforms, sourceProvenance ? [ ] }@meta:
            builtins.all (one: one ? spdxId) license && strict meta != null;

          rustPlatform.buildRustPackage =
            {
              pname,
              version,
              src,
              cargoLock,
              meta,
              buildNoDefaultFeatures ? false,
              cargoBuildFlags ? [ ],
              env ? { },
              nativeBuildInputs ? [ ],
              buildInputs ? [ ],
              doCheck ? true,
              postInstall ? "",
            }@args:
            assert builtins.pathExists cargoLock.lockFile && builtins.attrNames cargoLock == [ "lockFile" ];
            assert packages (nativeBuildInputs ++ buildInputs) && texts env && checkMeta meta;
            derive (
              args
              // { inherit nativeBuildInputs; }
              // lib.optionalAttrs (host != null) {
                build = ''
                  ${hostEnvironment}
                  mkdir -p '${host.work}'
                  cd '${host.work}'
                  rm -rf source
                  cp -r "$src" source
                  chmod -R u+w source
                  cd source
                  export CARGO_TARGET_DIR='${host.work}/target'
                  if [ -n "''${buildPhase-}" ]; then
                    eval "$buildPhase"
                    eval "$installPhase"
                    exit
                  fi
                  cargo build --quiet --offline --locked ${lib.optionalString buildNoDefaultFeatures "--no-default-features"} ${builtins.concatStringsSep " " cargoBuildFlags}
                  mkdir -p "$out/bin"
                  cp "$CARGO_TARGET_DIR/debug/${pname}" "$out/bin"
                  ${install}
                  eval "$postInstall"
                '';
              }
            );

          # As nixpkgs does, in two steps: the archive is downloaded by Nix itself, and what is in it unpacked and installed.
          fetchurl =
            { url, sha256 }:
            derivation {
              name = baseNameOf url;
              builder = "builtin:fetchurl";
              system = "builtin";
              outputHashMode = "flat";
              outputHashAlgo = "sha256";
              outputHash = sha256;
              preferLocalBuild = true;
              executable = false;
              unpack = false;
              inherit url;
            };

          stdenvNoCC = {
            hostPlatform = platform;
            mkDerivation =
              { pname, version, src, sourceRoot, nativeBuildInputs, dontStrip, installPhase, meta }@args:
              assert sourceRoot == "." && dontStrip && packages nativeBuildInputs && checkMeta meta;
              derive (
                args
                // lib.optionalAttrs (host != null) {
                  build = ''
                    ${hostEnvironment}
                    tar -xzf "$src"
                    ${install}
                    eval "$installPhase"
                  '';
                }
              );
          };

          # Those of installShellFiles.
          install = ''
            installShellCompletion() { mkdir -p "$out/share"; for file; do case $file in --*) ;; *) test -s "$file"; cp "$file" "$out/share" ;; esac; done; }
            installManPage() { mkdir -p "$out/share"; for page; do test -s "$page"; cp "$page" "$out/share"; done; }
          '';

          pkgs =
            lib.genAttrs (everywhere ++ lib.optionals isLinux onLinux) (name: derive { inherit name; })
            // {
              inherit fetchurl lib rustPlatform stdenvNoCC;
              stdenv = {
                hostPlatform = platform;
                buildPlatform = platform;
              };
              callPackage = function: overrides: function (builtins.intersectAttrs (builtins.functionArgs function) pkgs // overrides);
              mkShell =
                { inputsFrom ? [ ], packages ? [ ], env ? { } }@args:
                assert builtins.all isPackage (inputsFrom ++ packages) && texts env;
                derive (args // { name = "nix-shell"; });
              runCommand = name: { nativeBuildInputs }: script: 
                assert packages nativeBuildInputs;
                derive ({ inherit name nativeBuildInputs script; } // lib.optionalAttrs (host != null) {
                  build = ''
                    ${hostEnvironment}
                    for input in $nativeBuildInputs; do PATH=$input/bin:$PATH; done
                    eval "$script"
                  '';
                });
            }
            // lib.optionalAttrs isLinux { pkgsStatic = pkgs; };
        in
        pkgs;
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs lib.platforms.unix packagesFor // {
        x86_64-darwin = throw "Nixpkgs 26.11 has dropped support for x86_64-darwin";
      };
    };
}
