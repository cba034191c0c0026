// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// Pays what `subnet settlement export` says that each account has earned in all, less what it has been paid already.
///
/// The root is that of OpenZeppelin's StandardMerkleTree over (address account, uint256 cumulativeAmount). The owner is
/// trusted with all that lies here: whoever posts the root decides who is paid. Make it a multisignature wallet.
contract Distributor {
    /// Who may post a root. It never changes.
    address public immutable owner;
    /// The ERC-20 token that is paid.
    address public immutable token;
    /// What claims are checked against; zero until the first is posted.
    bytes32 public root;
    /// What each account has been paid in all.
    mapping(address account => uint256 amount) public claimed;

    event RootPosted(bytes32 indexed root);
    event Claimed(address indexed account, uint256 amount, uint256 cumulativeAmount);

    error NotOwner(address caller);
    error NotAContract(address token);
    error ZeroOwner();
    error ZeroRoot();
    error InvalidProof(address account, uint256 cumulativeAmount);
    error NothingToClaim(address account, uint256 cumulativeAmount, uint256 alreadyClaimed);
    error TransferFailed(address account, uint256 amount);

    constructor(address owner_, address token_) {
        if (owner_ == address(0)) revert ZeroOwner();
        if (token_.code.length == 0) revert NotAContract(token_);
        owner = owner_;
        token = token_;
    }

    /// Replace the root. Amounts are cumulative, so a claim that wasn't made under the old one is part of the new one.
    function postRoot(bytes32 newRoot) external {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        if (newRoot == 0) revert ZeroRoot();
        root = newRoot;
        emit RootPosted(newRoot);
    }

    /// Pay an account what it has earned and hasn't been paid yet. Anyone may send this; only the account is paid.
    function claim(address account, uint256 cumulativeAmount, bytes32[] calldata proof) external {
        if (!_proven(account, cumulativeAmount, proof)) revert InvalidProof(account, cumulativeAmount);
        uint256 before = claimed[account];
        if (cumulativeAmount <= before) revert NothingToClaim(account, cumulativeAmount, before);
        uint256 amount = cumulativeAmount - before;
        // written down before the token is called, so that a token which calls back finds nothing left to claim
        claimed[account] = cumulativeAmount;
        emit Claimed(account, amount, cumulativeAmount);
        _pay(account, amount);
    }

    function _proven(address account, uint256 cumulativeAmount, bytes32[] calldata proof) private view returns (bool) {
        bytes32 node = keccak256(bytes.concat(keccak256(abi.encode(account, cumulativeAmount))));
        for (uint256 i = 0; i < proof.length; i++) {
            bytes32 other = proof[i];
            node = node < other ? keccak256(bytes.concat(node, other)) : keccak256(bytes.concat(other, node));
        }
        // a hash is never zero, so nothing is proven before a root is posted
        return node == root;
    }

    /// Some tokens return false where they fail, some return nothing where they don't.
    function _pay(address account, uint256 amount) private {
        (bool done, bytes memory answer) = token.call(abi.encodeWithSignature("transfer(address,uint256)", account, amount));
        if (!done || (answer.length != 0 && !abi.decode(answer, (bool)))) revert TransferFailed(account, amount);
    }
}
